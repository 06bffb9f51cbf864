//! The one door into the real-time plane, and the one clock it may read.
//!
//! [`spawn`] starts a thread that flushes denormals to zero, asks for priority, and reports what it was given: a system
//! that grants nothing still runs, marked uncertified. Inside [`hot`] nothing may allocate; tests install an allocator
//! that asks [`is_hot`] and fails them.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::JoinHandle;

use razvilka_dsp::units::{LslTime, MonoTime};
use serde::{Deserialize, Serialize};

thread_local! {
    static HOT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` as hot code of this thread: no allocation, lock, log or file in here.
pub fn hot<T>(work: impl FnOnce() -> T) -> T {
    let before = HOT.replace(true);
    let result = work();
    HOT.set(before);
    result
}

/// Whether this thread is inside [`hot`].
#[must_use]
pub fn is_hot() -> bool {
    HOT.try_with(Cell::get).unwrap_or(false)
}

/// Now, on this machine's monotonic clock.
#[must_use]
pub fn now() -> MonoTime {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid, exclusive timespec for the length of the call; CLOCK_MONOTONIC always exists on Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    MonoTime::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Step of the monotonic clock, nanoseconds; 0 where the system does not say.
#[must_use]
pub fn resolution_ns() -> u64 {
    let mut step = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `step` is a valid, exclusive timespec for the length of the call.
    if unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC, &raw mut step) } != 0 {
        return 0;
    }
    step.tv_sec as u64 * 1_000_000_000 + step.tv_nsec as u64
}

/// Whether the kernel holds its wall clock for synchronised, by NTP or PTP; `None` where it does not say.
#[must_use]
pub fn wall_clock_is_synchronised() -> Option<bool> {
    // SAFETY: timex is plain numbers, for which all zeroes asks and changes nothing.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `state` is a valid, exclusive timex for the length of the call.
    let answer = unsafe { libc::adjtimex(&raw mut state) };
    (answer >= 0).then_some(answer != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0)
}

/// A monotonic moment on our own LSL clock, which on Linux counts `CLOCK_MONOTONIC` in seconds.
#[must_use]
pub fn lsl_of(time: MonoTime) -> LslTime {
    // Below 2^53 ns (104 days of uptime) this is exact to the nanosecond, afterwards to 2 ns.
    LslTime::new(time.as_nanos() as f64 * 1e-9).unwrap_or_else(|_| unreachable_clock())
}

/// A stamp on our own LSL clock as a monotonic moment; stamps before the clock's zero become zero.
#[must_use]
pub fn mono_of(time: LslTime) -> MonoTime {
    MonoTime::from_nanos((time.get().max(0.0) * 1e9) as u64)
}

/// Now, on our own LSL clock.
#[must_use]
pub fn lsl_now() -> LslTime {
    lsl_of(now())
}

fn unreachable_clock() -> LslTime {
    // u64 nanoseconds span 585 years: always inside the range of LslTime.
    match LslTime::new(0.0) {
        Ok(zero) => zero,
        Err(_) => unreachable!("zero is a valid LSL time"),
    }
}

/// Sleeps until `due`, to the accuracy of the system's timer; returns at once when it has passed.
pub fn sleep_until(due: MonoTime) {
    let nanos = due.as_nanos();
    let time = libc::timespec {
        tv_sec: (nanos / 1_000_000_000) as i64,
        tv_nsec: (nanos % 1_000_000_000) as i64,
    };
    // SAFETY: `time` is a valid timespec; the remainder pointer may be null for absolute sleeps.
    unsafe {
        libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &raw const time,
            std::ptr::null_mut(),
        )
    };
}

/// What a real-time thread asks the system for.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// SCHED_FIFO priority 1..=99; 0 asks for none.
    pub priority: u32,
    /// The processor to stay on; any when `None`.
    pub cpu: Option<usize>,
}

/// What a real-time thread was given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Granted {
    /// The thread's name.
    pub thread: String,
    /// SCHED_FIFO priority, or why not.
    pub priority: Result<u32, String>,
    /// Processor, or why not; `None` when none was asked for.
    pub cpu: Option<Result<usize, String>>,
    /// Whether denormals are flushed to zero.
    pub flush_to_zero: bool,
}

/// Starts a real-time thread; `work` receives what was granted and runs until it returns.
///
/// # Errors
/// The system's error when no thread can be made.
pub fn spawn<T: Send + 'static>(
    name: &str,
    wish: Wish,
    work: impl FnOnce(Granted) -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    let thread = name.to_owned();
    std::thread::Builder::new()
        .name(thread.clone())
        .spawn(move || {
            let granted = Granted {
                thread,
                priority: if wish.priority == 0 {
                    Err("not asked for".into())
                } else {
                    ask_priority(wish.priority)
                },
                cpu: wish.cpu.map(ask_cpu),
                flush_to_zero: flush_denormals(),
            };
            work(granted)
        })
}

fn ask_priority(priority: u32) -> Result<u32, String> {
    if schedule(0, libc::SCHED_FIFO, priority.min(99) as i32) {
        Ok(priority.min(99))
    } else {
        Err(std::io::Error::last_os_error().to_string())
    }
}

/// Real-time priority that a thread lends to an ordinary one for a moment.
///
/// The decoder is no real-time thread: for seconds it computes what nobody waits for. But once a choice is made, the
/// person waits for its commit, and on a busy machine an ordinary thread may be out of turn for many milliseconds. So the
/// gate lends it the lowest real-time priority, and the decoder gives it back as soon as it stands on the branch. A system
/// that grants no priority lends none, and nothing else changes.
#[derive(Debug, Default)]
pub struct Lent {
    /// The borrower's number in the kernel; 0 while there is none.
    borrower: AtomicI32,
    lent: AtomicBool,
}

/// SCHED_FIFO priority that is lent: below every real-time thread of ours, above all ordinary ones.
const LENT_PRIORITY: i32 = 1;

impl Lent {
    /// Makes the calling thread the borrower until what is returned is dropped. A thread that is scheduled in some other
    /// way than the ordinary one is left as it is.
    #[must_use]
    pub fn borrower(&self) -> Borrower<'_> {
        // SAFETY: takes no pointer; pid 0 means the calling thread.
        let policy = unsafe { libc::sched_getscheduler(0) };
        let ordinary = policy & !libc::SCHED_RESET_ON_FORK == libc::SCHED_OTHER;
        // SAFETY: takes nothing.
        let thread = unsafe { libc::gettid() };
        self.borrower
            .store(if ordinary { thread } else { 0 }, Ordering::Release);
        Borrower(self)
    }

    /// Raises the borrower. Real-time: one system call.
    pub fn lend(&self) {
        let borrower = self.borrower.load(Ordering::Acquire);
        if borrower != 0
            && schedule(
                borrower,
                libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK,
                LENT_PRIORITY,
            )
        {
            // Only now: who sees the flag may trust that the priority was raised before.
            self.lent.store(true, Ordering::Release);
        }
    }

    /// Gives back what was lent, if anything was. Only the borrower may call this.
    pub fn give_back(&self) {
        if self.lent.swap(false, Ordering::AcqRel) {
            // An ordinary thread may always become one again; but only a privileged one may take the flag back that came with the loan.
            let _ = schedule(0, libc::SCHED_OTHER | libc::SCHED_RESET_ON_FORK, 0);
        }
    }
}

/// As long as this lives, its thread may be lent priority.
#[derive(Debug)]
pub struct Borrower<'a>(&'a Lent);

impl Drop for Borrower<'_> {
    fn drop(&mut self) {
        self.0.borrower.store(0, Ordering::Release);
    }
}

/// Changes how a thread of this process is scheduled (0: the calling one); `false` when the system refuses.
fn schedule(thread: libc::pid_t, policy: i32, priority: i32) -> bool {
    let parameter = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: `parameter` outlives the call; on Linux the first argument names a thread.
    unsafe { libc::sched_setscheduler(thread, policy, &raw const parameter) == 0 }
}

fn ask_cpu(cpu: usize) -> Result<usize, String> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(format!(
            "processor {cpu} is beyond what the system can name"
        ));
    }
    // SAFETY: cpu_set_t is plain bits, for which all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` was checked to lie inside the set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is valid for its own size; pid 0 means the calling thread.
    let result =
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if result == 0 {
        Ok(cpu)
    } else {
        Err(std::io::Error::last_os_error().to_string())
    }
}

/// Locks this process's pages into memory, now and in future.
///
/// # Errors
/// The system's reason when it refuses (usually the locked-memory limit).
pub fn lock_memory() -> Result<(), String> {
    // SAFETY: mlockall takes flags only.
    let result = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error().to_string())
    }
}

#[cfg(target_arch = "x86_64")]
fn flush_denormals() -> bool {
    let mut csr: u32 = 0;
    // SAFETY: stores this thread's MXCSR into a valid, aligned u32.
    unsafe {
        std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut csr, options(nostack, preserves_flags));
    };
    csr |= (1 << 15) | (1 << 6); // flush to zero, denormals are zero
    // SAFETY: loads a control word read a moment ago with two documented bits set; no exception is unmasked.
    unsafe {
        std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const csr, options(nostack, preserves_flags));
    };
    true
}

#[cfg(target_arch = "aarch64")]
fn flush_denormals() -> bool {
    let mut fpcr: u64;
    // SAFETY: reads this thread's floating-point control register.
    unsafe {
        std::arch::asm!("mrs {}, fpcr", out(reg) fpcr, options(nomem, nostack, preserves_flags))
    };
    fpcr |= 1 << 24;
    // SAFETY: sets the documented FZ bit only.
    unsafe {
        std::arch::asm!("msr fpcr, {}", in(reg) fpcr, options(nomem, nostack, preserves_flags))
    };
    true
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn flush_denormals() -> bool {
    false
}

/// Puts the calling thread behind others by `nice` steps (0 to 19), and on one processor when it is named. Where the system refuses, it goes on as
/// it is.
pub fn stand_back(nice: u32, cpu: Option<usize>) {
    // SAFETY: plain numbers, no memory; on Linux 0 names the calling thread alone.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice.min(19) as i32) };
    if let Some(cpu) = cpu {
        let _ = ask_cpu(cpu);
    }
}

/// Puts the calling thread behind everybody else's ordinary work, for what may take as long as it takes. Where the system
/// refuses, it goes on as it is.
pub fn yield_to_everybody() {
    // SAFETY: plain numbers, no memory; on Linux 0 names the calling thread alone.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_time_thread_flushes_denormals_and_says_what_it_was_given() {
        let thread = spawn(
            "rt-test",
            Wish {
                priority: 0,
                cpu: None,
            },
            |granted| {
                let tiny = std::hint::black_box(f64::MIN_POSITIVE);
                (granted, tiny / 4.0)
            },
        );
        let (granted, quotient) = thread.unwrap().join().unwrap();
        assert_eq!(granted.thread, "rt-test");
        assert!(granted.priority.is_err());
        assert_eq!(granted.flush_to_zero, quotient == 0.0);
    }

    #[test]
    fn lent_priority_is_given_back_and_a_thread_that_is_gone_gets_none() {
        // SAFETY: takes no pointer; 0 means the calling thread.
        let policy = || unsafe { libc::sched_getscheduler(0) } & !libc::SCHED_RESET_ON_FORK;
        let lent = std::sync::Arc::new(Lent::default());
        lent.lend();
        assert!(!lent.lent.load(Ordering::Acquire), "nobody borrows yet");
        let thread = std::thread::spawn({
            let lent = std::sync::Arc::clone(&lent);
            move || {
                let borrower = lent.borrower();
                lent.lend();
                let raised = policy() == libc::SCHED_FIFO;
                assert_eq!(raised, lent.lent.load(Ordering::Acquire));
                lent.give_back();
                assert_eq!(policy(), libc::SCHED_OTHER);
                drop(borrower);
            }
        });
        thread.join().unwrap();
        lent.lend();
        assert!(!lent.lent.load(Ordering::Acquire), "the borrower has ended");
    }

    #[test]
    fn hot_is_seen_only_inside_and_nests() {
        assert!(!is_hot());
        hot(|| {
            hot(|| assert!(is_hot()));
            assert!(is_hot());
        });
        assert!(!is_hot());
    }

    #[test]
    fn the_two_clocks_agree_to_a_microsecond() {
        let before = now();
        let lsl = lsl_of(before);
        assert!(mono_of(lsl).as_nanos().abs_diff(before.as_nanos()) < 1_000);
    }
}
