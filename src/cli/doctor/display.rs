//! Where the participant window would open.

use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::finding::{Area, Finding};
use crate::config::{Plan, SurfaceKind};

/// How long a display on another machine may take to answer.
const CONNECT: Duration = Duration::from_secs(1);
/// TCP port of X display 0.
const X_PORT: u16 = 6_000;
/// Where libraries are on the systems we know.
const LIBRARIES: [&str; 6] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/lib/x86_64-linux-gnu",
    "/usr/local/lib",
];

/// A display that the environment names, and whether it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// The variable and its value.
    pub(super) name: String,
    /// Why it does not answer.
    pub(super) answer: Result<(), String>,
}

/// What is known of the display.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// Whether this program can open a window at all.
    pub(super) feature: bool,
    /// The displays that the environment names, the one that is tried first in front.
    pub(super) displays: Vec<Named>,
    /// A library that OpenGL is reached by.
    pub(super) opengl: Option<PathBuf>,
    /// Why what the window would begin with cannot be shown.
    pub(super) unshown: Option<String>,
}

/// Asks the environment. Opens no window.
pub(super) fn facts(plan: &Plan) -> Facts {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut displays = Vec::new();
    if let Some(value) = set("WAYLAND_DISPLAY") {
        let folder = PathBuf::from(set("XDG_RUNTIME_DIR").unwrap_or_default());
        displays.push(Named {
            answer: knock(&folder.join(&value)),
            name: format!("WAYLAND_DISPLAY={value}"),
        });
    }
    if let Some(value) = set("DISPLAY") {
        displays.push(Named {
            answer: knock_x(&value),
            name: format!("DISPLAY={value}"),
        });
    }
    Facts {
        feature: cfg!(feature = "window"),
        displays,
        opengl: opengl(),
        unshown: unshown(plan),
    }
}

fn knock(socket: &Path) -> Result<(), String> {
    let answer = UnixStream::connect(socket).map(|_| ());
    answer.map_err(|error| format!("{}: {error}", socket.display()))
}

/// Whether an X display answers: `:0`, `unix:0` on this machine, `host:10.0` over the network.
fn knock_x(display: &str) -> Result<(), String> {
    let (host, number) = host_and_number(display)
        .ok_or_else(|| format!("{display} is no display: it should read as :0 does"))?;
    if host.is_empty() || host == "unix" {
        return knock(Path::new(&format!("/tmp/.X11-unix/X{number}")));
    }
    let port = X_PORT
        .checked_add(number)
        .ok_or_else(|| format!("{display} is no display: its number is too large"))?;
    let failed = |error: std::io::Error| format!("{host}: {error}");
    let address = (host, port)
        .to_socket_addrs()
        .map_err(failed)?
        .next()
        .ok_or_else(|| format!("{host} has no address"))?;
    TcpStream::connect_timeout(&address, CONNECT)
        .map(|_| ())
        .map_err(failed)
}

/// The host and the number of an X display.
fn host_and_number(display: &str) -> Option<(&str, u16)> {
    let (host, rest) = display.rsplit_once(':')?;
    let number = rest.split_once('.').map_or(rest, |(number, _)| number);
    Some((host, number.parse().ok()?))
}

/// A library by which windows reach OpenGL, where one is where such are.
fn opengl() -> Option<PathBuf> {
    let more = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let folders = std::env::split_paths(&more).chain(LIBRARIES.map(PathBuf::from));
    let files =
        folders.flat_map(|folder| ["libEGL.so.1", "libGL.so.1"].map(|name| folder.join(name)));
    files.into_iter().find(|file| file.exists())
}

#[cfg(feature = "window")]
fn unshown(plan: &Plan) -> Option<String> {
    use crate::view::window::fonts;

    match fonts::read(&plan.view.fonts) {
        Err(error) => Some(error.to_string()),
        Ok(files) => fonts::check_before(&fonts::definitions(files), &plan.model.prompt)
            .err()
            .map(|error| format!("model.prompt: {error}")),
    }
}

#[cfg(not(feature = "window"))]
fn unshown(_plan: &Plan) -> Option<String> {
    None
}

/// What that means for a session that is shown on this surface.
pub(super) fn judge(facts: &Facts, surface: SurfaceKind) -> Vec<Finding> {
    let terminal = surface == SurfaceKind::Terminal;
    let mut found = vec![window(facts, surface)];
    if facts.feature && facts.displays.iter().any(|named| named.answer.is_ok()) {
        found.push(opengl_found(facts, terminal));
        found.push(Finding::ok(
            Area::Display,
            "refresh rate",
            "unknown without a window: it measures its frames when it opens, and refuses flashes below view.frame_rate_min_hz",
        ));
    }
    if let Some(why) = facts.unshown.as_ref().filter(|_| !terminal) {
        found.push(Finding::failure(
            Area::Display,
            "what it would show",
            why,
            "Correct view.fonts, or model.prompt",
        ));
    }
    found
}

/// Whether a window could open; what is missing fails only where one is insisted on.
fn window(facts: &Facts, surface: SurfaceKind) -> Finding {
    let (area, what) = (Area::Display, "participant window");
    let answering = facts.displays.iter().find(|named| named.answer.is_ok());
    let elsewhere =
        "Start razvilka on the machine's own screen, or set view.surface = \"terminal\"";
    let (figure, advice) = match (answering, facts.displays.first()) {
        _ if !facts.feature => (
            "this program was built without it".into(),
            "Build it with the feature window, which is among the default ones",
        ),
        (Some(named), _) => {
            let figure = format!("{} answers", named.name);
            return Finding::ok(area, what, unasked(&figure, surface));
        }
        (None, Some(named)) => {
            let why = named.answer.as_ref().err().map_or("", String::as_str);
            (format!("{} does not answer ({why})", named.name), elsewhere)
        }
        (None, None) => (
            "there is no display: neither WAYLAND_DISPLAY nor DISPLAY is set".into(),
            elsewhere,
        ),
    };
    match surface {
        SurfaceKind::Terminal => Finding::ok(area, what, unasked(&figure, surface)),
        SurfaceKind::Auto => Finding::warning(
            area,
            what,
            format!("{figure}: the session is shown in the terminal"),
            advice,
        ),
        SurfaceKind::Window => Finding::failure(area, what, figure, advice),
    }
}

/// The figure, and before it that no window is asked for where none is.
fn unasked(figure: &str, surface: SurfaceKind) -> String {
    match surface {
        SurfaceKind::Terminal => {
            format!("not asked for (view.surface = \"terminal\"); {figure}")
        }
        _ => figure.to_owned(),
    }
}

fn opengl_found(facts: &Facts, terminal: bool) -> Finding {
    let (area, what) = (Area::Display, "OpenGL");
    match &facts.opengl {
        Some(file) => Finding::ok(area, what, file.display().to_string()),
        None if terminal => Finding::ok(area, what, "no library was found; not needed"),
        None => Finding::warning(
            area,
            what,
            "no library was found where such are",
            "Install one (Debian: apt install libgl1-mesa-dri libegl1), or the window may not open",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn facts(displays: Vec<Named>) -> Facts {
        Facts {
            feature: true,
            displays,
            opengl: Some("/usr/lib/libGL.so.1".into()),
            unshown: None,
        }
    }

    fn named(answer: Result<(), String>) -> Named {
        Named {
            name: "DISPLAY=:0".into(),
            answer,
        }
    }

    fn worst(facts: &Facts, surface: SurfaceKind) -> Level {
        let found = judge(facts, surface);
        found.iter().map(|finding| finding.level).max().unwrap()
    }

    #[test]
    fn a_missing_display_fails_only_where_a_window_is_insisted_on() {
        let none = facts(Vec::new());
        let dead = facts(vec![named(Err("refused".into()))]);
        let unbuilt = Facts {
            feature: false,
            ..none.clone()
        };
        for facts in [none, dead, unbuilt] {
            assert_eq!(worst(&facts, SurfaceKind::Terminal), Level::Ok);
            assert_eq!(worst(&facts, SurfaceKind::Auto), Level::Warning);
            assert_eq!(worst(&facts, SurfaceKind::Window), Level::Failure);
        }
        let there = facts(vec![named(Err("refused".into())), named(Ok(()))]);
        assert_eq!(worst(&there, SurfaceKind::Window), Level::Ok);
    }

    #[test]
    fn a_window_without_opengl_is_warned_of_and_one_that_cannot_show_its_text_fails() {
        let bare = Facts {
            opengl: None,
            ..facts(vec![named(Ok(()))])
        };
        assert_eq!(worst(&bare, SurfaceKind::Window), Level::Warning);
        assert_eq!(worst(&bare, SurfaceKind::Terminal), Level::Ok);
        let mute = Facts {
            unshown: Some("no font".into()),
            ..facts(vec![named(Ok(()))])
        };
        assert_eq!(worst(&mute, SurfaceKind::Window), Level::Failure);
        assert_eq!(worst(&mute, SurfaceKind::Terminal), Level::Ok);
    }

    #[test]
    fn the_names_of_displays_are_read() {
        assert_eq!(host_and_number(":0"), Some(("", 0)));
        assert_eq!(host_and_number("localhost:10.0"), Some(("localhost", 10)));
        assert_eq!(host_and_number("unix:1.2"), Some(("unix", 1)));
        assert_eq!(host_and_number("screen"), None);
        assert!(knock_x("x:y").is_err() && knock_x("localhost:65535").is_err());
    }
}
