//! The socket's file, its folder, and who may talk.

use super::*;

#[tokio::test]
async fn the_socket_is_for_owner_and_group_only_and_leaves_no_second_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let socket = Socket::bind(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    drop(socket);
    assert!(!path.exists());
}

#[tokio::test]
async fn the_file_of_a_dead_agent_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let socket = Socket::bind(&path).unwrap();
    assert!(UnixStream::connect(socket.path()).await.is_ok());
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(Socket::bind(&path), Err(SocketError::NoSocket(_))));
    std::fs::remove_file(&path).unwrap();
    let target = dir.path().join("target");
    std::fs::write(&target, "precious").unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    assert!(matches!(Socket::bind(&path), Err(SocketError::NoSocket(_))));
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
}

#[tokio::test]
async fn a_folder_that_everybody_may_write_to_is_refused_with_the_mend() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
    let error = Socket::bind(&dir.path().join("control.sock")).unwrap_err().to_string();
    assert!(error.contains("chmod o-w") && error.contains("--state"), "{error}");
    let missing = Socket::bind(&dir.path().join("missing/control.sock")).unwrap_err().to_string();
    assert!(missing.contains("missing"), "{missing}");
}

#[tokio::test]
async fn a_path_that_no_socket_can_have_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let error = Socket::bind(&dir.path().join("x".repeat(110))).unwrap_err();
    assert!(matches!(error, SocketError::TooLong(_)), "{error}");
}

#[tokio::test]
async fn an_agent_that_ends_late_does_not_remove_its_successors_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let first = Socket::bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let second = Socket::bind(&path).unwrap();
    drop(first);
    assert!(UnixStream::connect(second.path()).await.is_ok());
}

#[test]
fn strangers_may_not_talk_once_the_mode_lets_them_in() {
    assert!(may_talk(1000, 1000, 0o666), "the agent's own user");
    assert!(may_talk(0, 1000, 0o666), "root");
    assert!(may_talk(1001, 1000, 0o140_660), "the kernel let it through the group");
    assert!(!may_talk(1001, 1000, 0o140_666), "somebody widened the mode");
    assert!(!may_talk(1001, 1000, 0o777), "a mode that cannot be read");
}
