//! The tree's own rules that no suite over a `MetadataStore` can see: undo, what is touched,
//! restoring.

use super::*;

const ME: i64 = 7;

fn create(path: &str, mode: CreateMode) -> Op {
    Op::Create { path: path.to_owned(), data: None, mode }
}

fn tree(paths: &[&str]) -> Tree {
    let mut tree = Tree::default();
    tree.open_session(ME);
    for path in paths {
        tree.apply(ME, &create(path, CreateMode::Persistent), 1).result.unwrap();
    }
    tree
}

fn snapshot(tree: &Tree) -> Vec<(String, Node)> {
    tree.nodes().map(|(path, node)| (path.to_owned(), node.clone())).collect()
}

#[test]
fn a_failed_multi_leaves_no_trace_but_its_zxid() {
    let mut tree = tree(&["/a", "/a/b"]);
    tree.apply(ME, &Op::Children { path: "/a".to_owned(), watch: true }, 1).result.unwrap();
    let (before, zxid) = (snapshot(&tree), tree.last_zxid());
    let multi = Op::Multi(vec![
        create("/a/e", CreateMode::Ephemeral),
        Op::Delete { path: "/a/b".to_owned(), version: 0 },
        Op::Set { path: "/a".to_owned(), data: Some(Bytes::new()), version: 0 },
        Op::Check { path: "/a".to_owned(), version: 0 },
    ]);
    let outcome = tree.apply(ME, &multi, 2);
    let error = Box::new(StoreError::BadVersion("/a".to_owned()));
    assert_eq!(outcome.result, Err(StoreError::Multi { index: 3, error }));
    assert!(outcome.fired.is_empty() && outcome.touched.is_empty());
    assert_eq!(snapshot(&tree), before);
    assert_eq!(tree.last_zxid(), zxid + 1);
    assert!(tree.close_session(ME).touched.is_empty(), "the ephemeral was undone");
}

#[test]
fn names_of_children_are_not_those_of_deeper_nodes() {
    let tree = tree(&["/a", "/a-b", "/a/x", "/a/x/deep", "/a/x-y", "/a/x0", "/a/x/deep/er", "/b"]);
    assert_eq!(tree.child_names("/"), ["a", "a-b", "b"]);
    assert_eq!(tree.child_names("/a"), ["x", "x-y", "x0"]);
    assert_eq!(tree.child_names("/a/x"), ["deep"]);
    assert!(tree.child_names("/b").is_empty());
}

#[test]
fn restoring_keeps_persistent_nodes_and_counts_children_anew() {
    let mut first = tree(&["/a", "/a/b"]);
    first.apply(ME, &create("/a/e", CreateMode::Ephemeral), 1).result.unwrap();
    let second = Tree::restore(first.nodes.clone(), first.last_zxid());
    assert_eq!(second.node("/a/e"), None);
    assert_eq!(second.node("/a").map(|node| (node.num_children, node.created)), Some((1, 2)));
    assert_eq!(second.last_zxid(), first.last_zxid());
}

#[test]
fn an_unknown_session_can_do_nothing() {
    let mut tree = tree(&[]);
    let result = tree.apply(ME + 1, &create("/a", CreateMode::Persistent), 1).result;
    assert_eq!(result, Err(StoreError::SessionExpired));
}
