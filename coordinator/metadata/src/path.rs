//! Which node paths ZooKeeper takes, and how they nest; knows nothing of any store.

/// Whether `path` names a node: absolute, no trailing slash, no empty, `.` or `..` element and none
/// of the characters ZooKeeper refuses (`org.apache.zookeeper.common.PathUtils`).
pub fn is_valid(path: &str) -> bool {
    if path == "/" {
        return true;
    }
    let Some(rest) = path.strip_prefix('/') else { return false };
    rest.split('/').all(|name| !matches!(name, "" | "." | ".."))
        && !path.chars().any(|c| {
            matches!(c, '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}'
                | '\u{fff0}'..='\u{ffff}')
        })
}

/// Whether a sequential node can be created here: its number is appended, so the last element may
/// be empty.
pub fn is_valid_sequential(path: &str) -> bool {
    path.starts_with('/') && is_valid(&format!("{path}1"))
}

/// The node above; `None` for the root. `path` is valid.
pub fn parent(path: &str) -> Option<&str> {
    match path.rfind('/') {
        _ if path == "/" => None,
        Some(0) => Some("/"),
        Some(at) => Some(&path[..at]),
        None => None,
    }
}

/// `name` below `path`.
pub fn child(path: &str, name: &str) -> String {
    if path == "/" { format!("/{name}") } else { format!("{path}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_zookeeper_takes() {
        for good in ["/", "/a", "/a/b.c", "/...", "/config/users/<default>", "/a b", "/é"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "a", "/a/", "//", "/a//b", "/.", "/a/..", "/a\0", "/\u{7f}", "/\u{e001}"] {
            assert!(!is_valid(bad), "{bad:?}");
        }
        assert!(
            is_valid_sequential("/a/") && is_valid_sequential("/a") && !is_valid_sequential("a")
        );
    }

    #[test]
    fn nests() {
        assert_eq!((parent("/"), parent("/a"), parent("/a/b")), (None, Some("/"), Some("/a")));
        assert_eq!((child("/", "a"), child("/a", "b")), ("/a".to_owned(), "/a/b".to_owned()));
    }
}
