//! The gateway, in which SIGUSR1 makes the part hang that the environment variable `TEST_HANG` names. For a test of the
//! service manager's watchdog.

fn main() -> std::process::ExitCode {
    aisopod_gateway::daemon::main()
}
