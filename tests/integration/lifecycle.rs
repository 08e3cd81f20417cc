//! From connect to disconnect.

use crate::common::Gateway;

#[test]
fn a_client_is_counted_while_it_is_there() {
    let gateway = Gateway::start("");
    let mut client = gateway.connect();
    let me = client.call("gateway.whoami");
    assert_eq!(me["result"]["presence_key"], "operator:anonymous");
    let status = gateway.wait_for_clients(1);
    assert_eq!(status["clients"]["operators"], 1);
    drop(client);
    gateway.wait_for_clients(0);
    let (status, log) = gateway.stop();
    assert!(status.success(), "{log:#?}");
}
