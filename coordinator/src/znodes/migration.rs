//! `/migration`: left by a KRaft controller that moves the cluster away from ZooKeeper. Never
//! written here; a cluster that has it is not ours to control.

use protocol::ids::BrokerId;
use serde::Deserialize;

use super::{ZnodeError, decode_json};

pub const PATH: &str = "/migration";

#[derive(Deserialize)]
struct Json {
    #[serde(default = "none")]
    kraft_controller_id: BrokerId,
}

fn none() -> BrokerId {
    -1
}

/// The KRaft controller that has taken over; `None` if the node names none (−1).
pub fn decode(data: Option<&[u8]>) -> Result<Option<BrokerId>, ZnodeError> {
    let json: Json = decode_json(PATH, data)?;
    Ok((json.kraft_controller_id >= 0).then_some(json.kraft_controller_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_took_over() {
        let taken = br#"{"version":0,"kraft_controller_id":3000,"kraft_controller_epoch":1,
            "kraft_metadata_offset":-1,"kraft_metadata_epoch":-1}"#;
        assert_eq!(decode(Some(taken)), Ok(Some(3000)));
        assert_eq!(decode(Some(br#"{"kraft_controller_id":-1}"#)), Ok(None));
        assert!(decode(Some(b"no")).is_err());
    }
}
