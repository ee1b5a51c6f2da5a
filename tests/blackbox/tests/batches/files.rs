//! Files: taken within their bounds, told and given back to their tenant alone.

use std::time::Instant;

use super::*;

#[test]
fn a_file_is_its_tenants_until_it_is_removed() {
    with_each(&json!({}), |fleet| {
        let (client, elsewhere) = (fleet.client(), last(fleet));
        // In several pieces, with every byte there is.
        let bytes: Vec<u8> = (0..1_300_000_u32).map(|number| (number * 7 % 251) as u8).collect();
        let file = good(&form(&client, &[("purpose", b"batch"), ("file", &bytes)]));
        let id = file["id"].as_str().unwrap();
        let fields: Vec<&String> = file.as_object().unwrap().keys().collect();
        let expected =
            ["object", "id", "purpose", "filename", "bytes", "created_at", "expires_at", "status", "status_details"];
        assert_eq!(fields, expected);
        assert!(id.starts_with("file-"), "{file}");
        assert_eq!(
            (&file["object"], &file["purpose"], &file["status"]),
            (&json!("file"), &json!("batch"), &json!("processed"))
        );
        assert_eq!((&file["bytes"], &file["filename"]), (&json!(1_300_000), &json!("input.jsonl")));
        let at = |name: &str| file[name].as_u64().unwrap();
        assert_eq!(at("expires_at"), at("created_at") + 30 * 86_400);
        let path = format!("{FILES}/{id}");
        assert_eq!(good(&elsewhere.get(&path)), file);
        let answer = elsewhere.get(&format!("{path}/content"));
        assert_eq!(answer.head.get("content-type"), Some("application/octet-stream"));
        assert_eq!(answer.head.get("content-length"), Some("1300000"));
        assert!(answer.body == bytes);
        // For others it does not exist.
        let stranger = other(&elsewhere);
        for path in [path.clone(), format!("{path}/content"), format!("{FILES}/file-1")] {
            assert_eq!(refusal(&stranger.get(&path)), (404, Value::Null, json!("id")), "{path}");
        }
        assert_eq!(refusal(&remove(&stranger, id)), (404, Value::Null, json!("id")));
        assert_eq!(good(&stranger.get(FILES))["data"], json!([]));
        let body = json!({ "input_file_id": id, "endpoint": CHAT, "completion_window": "24h" });
        assert_eq!(stranger.post(BATCHES, &body).head.status, 404);
        assert_eq!(good(&remove(&elsewhere, id)), json!({ "object": "file", "id": id, "deleted": true }));
        assert_eq!(refusal(&client.get(&path)).0, 404);
        assert_eq!(refusal(&remove(&client, id)).0, 404);
        assert_eq!(client.post(BATCHES, &body).head.status, 404);
    });
}

#[test]
fn files_are_listed_page_by_page() {
    with_each(&json!({}), |fleet| {
        let client = fleet.client();
        let mut ids: Vec<Value> = Vec::new();
        for _ in 0..4 {
            ids.push(upload(&client, "x").into());
            // Ids sort by milliseconds.
            std::thread::sleep(Duration::from_millis(2));
        }
        let list = |query: &str| {
            let page = good(&last(fleet).get(&format!("{FILES}{query}")));
            assert_eq!(page["object"], "list");
            let ids: Vec<Value> = page["data"].as_array().unwrap().iter().map(|file| file["id"].clone()).collect();
            let edges = (ids.first().cloned().unwrap_or_default(), ids.last().cloned().unwrap_or_default());
            assert_eq!(edges, (page["first_id"].clone(), page["last_id"].clone()));
            (ids, page["has_more"].as_bool().unwrap())
        };
        let newest: Vec<Value> = ids.iter().rev().cloned().collect();
        assert_eq!(list(""), (newest.clone(), false));
        assert_eq!(list("?limit=3"), (newest[..3].to_vec(), true));
        assert_eq!(list(&format!("?limit=3&after={}", newest[2].as_str().unwrap())), (newest[3..].to_vec(), false));
        assert_eq!(list("?order=asc&limit=2"), (ids[..2].to_vec(), true));
        assert_eq!(list("?purpose=batch&limit=4"), (newest, false));
        assert_eq!(list("?purpose=batch_output"), (Vec::new(), false));
        assert_eq!(list("?purpose=fine-tune"), (Vec::new(), false));
        for (query, param) in
            [("limit=0", "limit"), ("limit=10001", "limit"), ("limit=x", "limit"), ("order=up", "order")]
        {
            let answer = client.get(&format!("{FILES}?{query}"));
            assert_eq!(refusal(&answer), (400, json!("invalid_value"), json!(param)), "{query}");
        }
    });
}

#[test]
fn what_is_no_file_for_a_batch_is_refused() {
    let fleet = Fleet::start(plan(1, json!({})));
    let client = fleet.client();
    let file: (&str, &[u8]) = ("file", b"x");
    let refused = |fields: &[(&str, &[u8])], code: Value, param: Value| {
        assert_eq!(refusal(&form(&client, fields)), (400, code, param), "{fields:?}");
    };
    refused(&[("purpose", b"assistants"), file], json!("unsupported_value"), json!("purpose"));
    refused(&[file, ("purpose", b"batch_output")], json!("invalid_value"), json!("purpose"));
    refused(&[file], json!("missing_required_parameter"), json!("purpose"));
    refused(&[("purpose", b"batch")], json!("missing_required_parameter"), json!("file"));
    refused(&[("purpose", b"batch"), file, file], json!("invalid_value"), json!("file"));
    refused(&[("purpose", b"batch"), ("purpose", b"batch"), file], json!("invalid_value"), json!("purpose"));
    refused(&[("purpose", &[b'x'; 300]), file], json!("invalid_value"), json!("purpose"));
    refused(&[("purpose", b"\xff"), file], json!("invalid_value"), json!("purpose"));
    refused(&[("purpose", b"batch"), ("name", b"x"), file], Value::Null, Value::Null);
    let kept = |seconds: &[u8]| {
        let fields: [(&str, &[u8]); 4] = [
            ("purpose", b"batch"),
            ("expires_after[anchor]", b"created_at"),
            ("expires_after[seconds]", seconds),
            file,
        ];
        form(&client, &fields)
    };
    let shown = good(&kept(b"3600"));
    assert_eq!(shown["expires_at"].as_u64().unwrap(), shown["created_at"].as_u64().unwrap() + 3600);
    assert_eq!(refusal(&kept(b"3599")), (400, json!("integer_below_min_value"), json!("expires_after.seconds")));
    assert_eq!(
        refusal(&client.post(FILES, &json!({ "purpose": "batch" }))),
        (400, json!("invalid_multipart"), Value::Null)
    );
    // A form that ends in its middle.
    let kind = [("content-type", "multipart/form-data; boundary=x")];
    let broken = client.ask(&client.request(
        "POST",
        FILES,
        &kind,
        b"--x\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\nab",
    ));
    assert_eq!(broken.head.status, 400, "{}", broken.text());
    let listed = good(&client.get(FILES));
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "nothing of what was refused is kept");
    let nobody = Client { key: "wrong".to_owned(), ..client };
    assert_eq!(refusal(&form(&nobody, &[("purpose", b"batch"), file])).0, 401);
}

#[test]
fn a_tenant_has_room_for_so_many_files_of_such_a_size() {
    let bounds = json!({ "files": { "file_bytes": 700_000, "tenant_bytes": 1_000_000, "files": 3 } });
    with_each(&bounds, |fleet| {
        let client = fleet.client();
        let try_upload =
            |client: &Client, bytes: usize| form(client, &[("purpose", b"batch"), ("file", &vec![b'x'; bytes])]);
        assert_eq!(try_upload(&client, 700_001).head.status, 413);
        // One that does not say how large it is.
        let kind = [("content-type", "multipart/form-data; boundary=x"), ("transfer-encoding", "chunked")];
        let mut body = Vec::new();
        let head = "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
        for part in [head.as_bytes(), &[b'x'; 400_000], &[b'x'; 400_000]] {
            body.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            body.extend_from_slice(part);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n\r\n");
        assert_eq!(client.ask(&client.request("POST", FILES, &kind, &body)).head.status, 413);
        let first = good(&try_upload(&client, 700_000));
        assert_eq!(refusal(&try_upload(&client, 300_001)), (400, json!("storage_limit_exceeded"), Value::Null));
        good(&try_upload(&other(&client), 300_001));
        good(&try_upload(&client, 300_000));
        assert_eq!(refusal(&try_upload(&client, 1)).1, "storage_limit_exceeded");
        assert_eq!(remove(&client, first["id"].as_str().unwrap()).head.status, 200);
        good(&try_upload(&client, 1));
        good(&try_upload(&client, 1));
        assert_eq!(refusal(&try_upload(&client, 1)), (400, json!("file_limit_exceeded"), Value::Null));
    });
}

/// A part whose head does not end, and a form that does not begin: whoever looks for more of it looks for ever.
#[test]
fn a_form_that_does_not_come_to_its_file_is_refused_soon() {
    let fleet = Fleet::start(plan(1, json!({})));
    let client = fleet.client();
    let kind = [("content-type", "multipart/form-data; boundary=x")];
    for beginning in ["--x\r\ncontent-disposition: form-data; name=\"", ""] {
        let body = [beginning.as_bytes(), &vec![b'y'; 16 * 1024 * 1024]].concat();
        let begun = Instant::now();
        let answer = client.ask(&client.request("POST", FILES, &kind, &body));
        assert_eq!(answer.head.status, 400, "{}", answer.text());
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
    // What looks like the end of a part at every byte is content all the same.
    let large = vec![b'\r'; 5_000_000];
    let file = good(&form(&client, &[("purpose", b"batch"), ("file", &large)]));
    let answer = client.get(&format!("{FILES}/{}/content", file["id"].as_str().unwrap()));
    assert!(answer.body == large);
}

#[test]
fn without_files_their_paths_do_not_exist() {
    let fleet = Fleet::start(plan(1, json!({ "files": { "enabled": false } })));
    for path in [FILES, BATCHES] {
        let answer = fleet.client().get(path);
        assert_eq!(answer.head.status, 404, "{}", answer.text());
        assert_eq!(error_of(&answer)["message"], format!("Invalid URL (GET {path})"));
    }
}
