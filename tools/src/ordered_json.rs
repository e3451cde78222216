//! JSON objects whose fields stand in a given order: scripts may rely on that of Kafka's. Knows
//! nothing of what is in them.

use serde_json::Value;

/// An object; every value is JSON text already.
pub fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}:{value}", Value::from(*name))).collect();
    format!("{{{}}}", fields.join(","))
}

/// A list of what is JSON text already.
pub fn array(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

/// One value as JSON text.
pub fn value(value: impl Into<Value>) -> String {
    value.into().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order() {
        let inner = array(&[object(&[("z", value(1)), ("a", value("\"x\""))])]);
        let all = object(&[("name", value("n")), ("all", inner), ("none", value(None::<String>))]);
        assert_eq!(all, r#"{"name":"n","all":[{"z":1,"a":"\"x\""}],"none":null}"#);
    }
}
