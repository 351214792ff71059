//! From `tracing` events to log lines.
//!
//! A layer of our own: it takes an event's fields, adds those of the spans it stands in (a session's
//! id, so that it is in every line), makes the line and hands it to the writing thread. Level,
//! format and place can change while the gateway runs.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::line::{self, Dress, Fields};
use super::writer::{Mention, Queue, Sink};
use super::{Config, Format, Level, Output, transcript};

/// The running log. Clones are the same log.
#[derive(Clone, Debug)]
pub struct Handle {
    style: Arc<ArcSwap<Style>>,
    queue: Queue,
}

#[derive(Clone, Copy, Debug)]
struct Style {
    level: LevelFilter,
    format: Format,
    dress: Dress,
}

/// Starts the log of the process. An error is in words, for stderr: there is no log yet.
pub fn init(config: &Config) -> Result<Handle, String> {
    let (subscriber, handle) = build(config, Sink::open(&config.output)?)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|e| e.to_string())?;
    transcript::set(config.transcript.as_ref());
    Ok(handle)
}

impl Handle {
    /// Opens a log file anew (SIGHUP, after it was rotated away). The old one stays if it cannot be.
    pub fn reopen(&self) {
        self.queue.reopen();
    }

    /// Goes on with other settings; an error, in words, if the new place cannot be opened.
    pub fn reconfigure(&self, config: &Config) -> Result<(), String> {
        let sink = Sink::open(&config.output)?;
        self.style.store(Arc::new(Style::of(config)));
        self.queue.replace(sink);
        transcript::set(config.transcript.as_ref());
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }

    /// Waits until what was logged is written, at most two seconds: before the process exits.
    pub fn flush(&self) {
        self.queue.flush();
    }

    /// Lines that were not written since the start.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }
}

impl Style {
    fn of(config: &Config) -> Self {
        let colours = || std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        Style {
            level: match config.level {
                Level::Error => LevelFilter::ERROR,
                Level::Warn => LevelFilter::WARN,
                Level::Info => LevelFilter::INFO,
                Level::Debug => LevelFilter::DEBUG,
                Level::Trace => LevelFilter::TRACE,
            },
            format: config.format,
            dress: match config.output {
                Output::Stderr if std::io::stderr().is_terminal() && colours() => Dress::Terminal,
                Output::Stderr | Output::File(_) => Dress::Plain,
                Output::Syslog => Dress::Timeless,
            },
        }
    }

    /// Ours by the level; the libraries' only if they warn (one of them might print what it reads).
    fn takes(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata
            .target()
            .strip_prefix("gatepost")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        *metadata.level() <= self.level && (ours || *metadata.level() <= tracing::Level::WARN)
    }
}

fn build(config: &Config, sink: Sink) -> Result<(impl Subscriber + Send + Sync, Handle), String> {
    let style = Arc::new(ArcSwap::from_pointee(Style::of(config)));
    let of_mention = style.clone();
    let mention = move |what: Mention| {
        let style = of_mention.load();
        let fields = match what {
            Mention::Dropped(lines) => Fields::dropped(lines),
            Mention::NotReopened { file, cause } => Fields::not_reopened(&file, &cause),
        };
        line::write(
            SystemTime::now(),
            tracing::Level::WARN,
            &fields,
            style.format,
            style.dress,
        )
    };
    let queue = Queue::start(sink, mention).map_err(|e| format!("the log's thread: {e}"))?;
    let layer = Lines {
        style: style.clone(),
        queue: queue.clone(),
    };
    let subscriber = tracing_subscriber::registry().with(layer);
    Ok((subscriber, Handle { style, queue }))
}

struct Lines {
    style: Arc<ArcSwap<Style>>,
    queue: Queue,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match self.style.load().takes(metadata) {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.style.load().takes(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.style.load().level)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        // From the innermost out: the nearest one's word counts.
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.inherit(of_span);
            }
        }
        let style = self.style.load();
        let level = *event.metadata().level();
        let now = SystemTime::now();
        let line = line::write(now, level, &fields, style.format, style.dress);
        self.queue.line(level, line);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(buf);
            Ok(buf.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is logged by `act`, without the time.
    fn logged(format: Format, level: Level, act: impl FnOnce(&Handle)) -> Vec<String> {
        let written = Written::default();
        let config = Config {
            level,
            format,
            output: Output::File("unused".into()),
            transcript: None,
        };
        let (subscriber, handle) = build(&config, Sink::Test(Box::new(written.clone()))).unwrap();
        tracing::subscriber::with_default(subscriber, || act(&handle));
        handle.flush();
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let timeless = |line: &str| match format {
            Format::Text => line.split_once(' ').unwrap().1.to_owned(),
            Format::Json => line.split_once(',').unwrap().1.to_owned(),
        };
        text.lines().map(timeless).collect()
    }

    #[test]
    fn a_login_is_one_line_of_the_promised_fields() {
        let login = |_: &Handle| {
            let (host, nobody): (Option<&str>, Option<&str>) = (Some("10.0.0.5"), None);
            tracing::info!(
                target: "gatepost",
                event = "login",
                result = "ok",
                protocol = %crate::protocol::Protocol::Imap,
                user = "bob\r\nevent=login result=ok",
                backend = nobody,
                host,
                session = "0123456789ab",
                took = 0.25,
                bytes_in = 7u64,
            );
        };
        assert_eq!(
            logged(Format::Text, Level::Info, login),
            ["info event=login result=ok protocol=imap \
                 user=\"bob\\r\\nevent=login result=ok\" host=10.0.0.5 session=0123456789ab \
                 took=250.0ms bytes_in=7"]
        );
        assert_eq!(
            logged(Format::Json, Level::Info, login),
            [
                "\"level\":\"info\",\"event\":\"login\",\"result\":\"ok\",\"protocol\":\"imap\",\
                 \"user\":\"bob\\r\\nevent=login result=ok\",\"host\":\"10.0.0.5\",\
                 \"session\":\"0123456789ab\",\"took\":0.25,\"bytes_in\":7}"
            ]
        );
    }

    #[test]
    fn the_sessions_fields_are_in_every_line() {
        let lines = logged(Format::Text, Level::Debug, |_| {
            let session =
                tracing::debug_span!("session", session = "abc", user = tracing::field::Empty);
            let _in = session.enter();
            tracing::debug!(event = "greeting");
            session.record("user", "bob");
            tracing::debug!(event = "login", user = "alice");
            tracing::debug!(event = "end", reason = "");
        });
        assert_eq!(
            lines,
            [
                "debug event=greeting session=abc",
                "debug event=login user=alice session=abc",
                "debug event=end session=abc user=bob",
            ]
        );
    }

    #[test]
    fn levels_and_libraries() {
        let lines = logged(Format::Text, Level::Warn, |handle| {
            let all = || {
                tracing::info!(event = "i");
                tracing::warn!(event = "w");
                tracing::debug!(target: "hyper", "d");
                tracing::debug!(target: "gatepostal", event = "other");
                tracing::warn!(target: "hyper::proto", "late {}", 1);
            };
            all();
            let config = Config {
                level: Level::Debug,
                format: Format::Text,
                output: Output::File("unused".into()),
                transcript: None,
            };
            handle.style.store(Arc::new(Style::of(&config)));
            tracing::callsite::rebuild_interest_cache();
            all();
        });
        assert_eq!(
            lines,
            [
                "warn event=w",
                "warn message=\"late 1\"",
                "info event=i",
                "warn event=w",
                "warn message=\"late 1\"",
            ]
        );
    }
}
