//! A choice and a server that goes away, in one moment.

use crossbeam::channel::unbounded;

use super::*;
use crate::decode::{Commit, Model, Prospect, Stats, WriterSettings};
use crate::fork::{Branch, ForkOrigin};

/// A writer on a server that goes away in the moment of the choice.
struct Leaving {
    choice: Arc<ChoiceCell>,
    text: String,
    fork: Option<Fork>,
}

impl Decoder for Leaving {
    fn start(&mut self, _: &str) -> Result<(), DecodeError> {
        Ok(())
    }
    fn advance(&mut self, _: &Cancel) -> Result<Step, DecodeError> {
        Ok(Step::Waiting)
    }
    fn think(&mut self, _: &Cancel) -> Result<Thought, DecodeError> {
        self.choice.put(ForkId(7), 1, 0);
        Err(DecodeError::Server {
            url: "http://127.0.0.1:1".into(),
            reason: "it is gone".into(),
            prospect: Prospect::Gone,
        })
    }
    fn commit(&mut self, fork: ForkId, branch: usize) -> Result<Commit, DecodeError> {
        let open = self.fork.take().ok_or(DecodeError::NotOpen { fork })?;
        let text = open.branches[branch].text.clone();
        self.text.push_str(&text);
        let ready_tokens = 0;
        Ok(Commit {
            text,
            ready_tokens,
            branch,
        })
    }
    fn go_on(&mut self, fork: ForkId) -> Result<Commit, DecodeError> {
        self.commit(fork, 0)
    }
    fn undo(&mut self) -> Result<Option<Undone>, DecodeError> {
        Ok(None)
    }
    fn other(&mut self, _: ForkId) -> Result<Option<Fork>, DecodeError> {
        Ok(None)
    }
    fn call(&mut self, _: usize) -> Result<Option<Fork>, DecodeError> {
        Ok(None)
    }
    fn call_behind(&mut self, _: usize) -> Result<Option<Fork>, DecodeError> {
        Ok(None)
    }
    fn drop_fork(&mut self) {
        self.fork = None;
    }
    fn text(&self) -> &str {
        &self.text
    }
    fn position(&self) -> usize {
        self.text.len()
    }
    fn can_undo(&self) -> bool {
        false
    }
    fn ready_tokens(&self) -> Vec<usize> {
        Vec::new()
    }
    fn stats(&self) -> Stats {
        Stats::default()
    }
}

#[test]
fn a_choice_that_arrives_as_the_server_goes_is_followed_before_the_fork_is_dropped() {
    let branch = |text: &str| Branch {
        text: text.into(),
        tokens: Vec::new(),
        prior: 0.5,
        log_prob_nats: -0.7,
    };
    let fork = Fork {
        id: ForkId(3),
        position: 4,
        context: "Once".into(),
        branches: vec![branch(" a cat"), branch(" a dog")],
        origin: ForkOrigin::Detected,
    };
    let choice = Arc::new(ChoiceCell::default());
    let (asks, heard) = unbounded();
    let (tell, told) = unbounded();
    let lent = Lent::default();
    let mut writing = Writing {
        texts: Texts {
            model: Arc::new(Model::embedded().unwrap()).into(),
            settings: WriterSettings::default(),
            prompt: "Once".into(),
        },
        number: 0,
        writer: Box::new(Leaving {
            choice: Arc::clone(&choice),
            text: "Once".into(),
            fork: Some(fork.clone()),
        }),
        choice,
        cancel: Cancel::new(),
        heard,
        tell,
        pace: Duration::ZERO,
        open: None,
        paused: false,
        lent: &lent,
        broken_off: false,
        interrupted: 0,
        lost_since: None,
        forward_steps: 0,
    };
    let id = fork.id;
    writing.offer(fork);
    asks.send(Ask::Options {
        fork: id,
        question: ForkId(7),
        kinds: vec![OptionKind::Branch; 2],
    })
    .unwrap();
    // A model in this process has no server to wait for: the loss ends the thread.
    assert!(writing.until_closed().unwrap_err().is_gone());
    assert_eq!(writing.writer.text(), "Once a dog");
    let told: Vec<Told> = told.try_iter().collect();
    assert!(
        matches!(
            &told[..],
            [
                Told::Fork { .. },
                Told::Taken {
                    how: Taken::Branch(1),
                    ..
                },
                Told::Lost(_),
            ]
        ),
        "{told:?}"
    );
}
