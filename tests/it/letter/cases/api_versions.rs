//! ApiVersions: what is served, and how a client that is too new learns it.

use protocol::api::ApiKey::ApiVersions;
use serde_json::json;

use crate::letter::talk::Talk;

cases![every_version, client_names, newer_than_there_is];

fn every_version(t: &mut Talk) {
    t.ask_each(
        ApiVersions,
        json!({ "client_software_name": "letter", "client_software_version": "1.0" }),
    );
}

fn client_names(t: &mut Talk) {
    for (name, version) in
        [("", "1"), ("a", ""), ("-a", "1"), ("a.", "1"), ("a b", "1"), ("é", "1")]
    {
        for api_version in 3..=4 {
            let body = json!({ "client_software_name": name, "client_software_version": version });
            t.ask(ApiVersions, api_version, body);
        }
    }
}

fn newer_than_there_is(t: &mut Talk) {
    for version in [5, 99, i16::MAX, -1] {
        t.ask_raw(ApiVersions, version, "a body of the future", &[2, b'x', 2, b'1', 0]);
        t.ask_raw(ApiVersions, version, "no body", &[]);
    }
    t.ask_raw(ApiVersions, 3, "no body", &[]);
    t.ask_raw(ApiVersions, 0, "a body where none is", &[1, 2, 3]);
}
