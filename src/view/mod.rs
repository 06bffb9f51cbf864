//! What a person sees: where the tiles stand, the terminal's view of a session, and the participant window.
//!
//! | file | what |
//! |---|---|
//! | `layout` | where tiles, text and calibration points stand, in degrees |
//! | `surface` | what a stimulus surface is told, and what it tells back |
//! | `scene`, `page` | what stands on the participant's screen, as it follows from markers and from the session's view |
//! | `board` | the latest state from the engine to a window, reports and keys back, without a lock |
//! | `pace`, `flasher` | how frames come, and which item is lit in each of them |
//! | `present` | when each of them was really presented, where the display system tells |
//! | `presses` | keys pressed in the window, as a source of keys |
//! | `scan` | which option stands out, for who chooses by a single switch |
//! | `flashing` | how much flashes and how often, against WCAG 2.3.1 |
//! | `words`, `script` | what the window says, in each language; which texts it can set |
//! | `window`, `operator` | the participant window, the operator's view; only with the feature `window`, the only rooms that name egui |
//! | `status`, `beneath` | the session in one line, for a terminal; where that line stands |
//! | `terminal`, `watch` | the session in a terminal; whether a fork stands before the person |

mod beneath;
pub mod board;
pub mod flasher;
pub mod flashing;
pub mod layout;
#[cfg(feature = "window")]
pub mod operator;
pub mod pace;
pub mod page;
pub mod present;
pub mod presses;
pub mod scan;
pub mod scene;
pub mod script;
pub mod status;
pub mod surface;
pub mod terminal;
pub mod watch;
#[cfg(feature = "window")]
pub mod window;
pub mod words;
