//! The daemon: arguments, configuration, log, listeners, and the gateway's run until a signal ends it.

mod args;

use aisopod_gateway::{Config, Gateway, ListenAddr, Listener, Shutdown, logging, systemd};
use args::Command;
use log::{error, info};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

fn main() -> ExitCode {
    match args::parse() {
        Command::Run(config) => run(*config),
        Command::Print(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Command::Fail { code, message } => {
            eprintln!("{message}");
            ExitCode::from(code)
        }
    }
}

fn run(config: Config) -> ExitCode {
    let served = logging::start(config.log_level).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(serve(config))
    });
    let code = match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("not started error={error}");
            ExitCode::FAILURE
        }
    };
    log::logger().flush();
    code
}

async fn serve(config: Config) -> std::io::Result<()> {
    let signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let listeners = config.listen.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    listeners.iter().for_each(|listener| info!("listening addr={}", listener.addr()));
    let gateway = Gateway::new(config);
    let (stop, shutdown) = watch::channel(Shutdown::No);
    tokio::spawn(stop_on_signals(signals, stop));
    let reporter = tokio::spawn(report(gateway.clone()));
    let drained = gateway.run(listeners, shutdown).await;
    reporter.abort();
    info!("stopped closed={} cut={}", drained.closed, drained.cut);
    Ok(())
}

fn bind(addr: &ListenAddr) -> Result<Listener, std::io::Error> {
    Listener::bind(addr).map_err(|error| std::io::Error::other(format!("{addr}: {error}")))
}

async fn report(gateway: Arc<Gateway>) {
    systemd::ready();
    systemd::report_status(gateway.registry()).await;
}

/// The first signal drains, the second ends at once.
async fn stop_on_signals([mut terminate, mut interrupt]: [Signal; 2], stop: watch::Sender<Shutdown>) {
    for told in [Shutdown::Drain, Shutdown::Now] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        systemd::stopping();
        info!("stopping how={}", if told == Shutdown::Drain { "drain" } else { "now" });
        stop.send_replace(told);
    }
    // Keeps the channel open: the drain may still be on its way.
    std::future::pending().await
}
