//! Moving users: each is held, told to leave, sent another way, and let in again.
//!
//! A list of any length is worked off in parts, so that nobody waits for the others. Users whose
//! sessions take long to leave stay held and are looked at between the parts; who has not left in time
//! stays as it was and is told of. A move that is cut off holds nobody for long.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::leaving::{HOLD, Leaving, Now, Sessions};
use super::orders::now;
use super::{Change, Orders, Owner, State};

/// Users that are moved at a time, at least: one writing of the file for all of them.
const PART: usize = 1000;

/// And at least such a part of what is written with them, so that a list costs its length and not its
/// square.
const SHARE: usize = 4;

/// How long the sessions of a part may take to leave before the next part is begun.
const PART_WAIT: Duration = Duration::from_secs(2);

/// How long sessions may take to leave in all: one that was asked to waits up to half a minute for
/// the end of a message.
pub(super) const LEAVE_WAIT: Duration = Duration::from_secs(40);

/// What is told of a user who is another move's by now.
const OVERTAKEN: &str = "another move of the same user, or its release, came in between";

/// Most users that are waited for while others are moved.
const SLOW_MAX: usize = 5 * PART;

/// Looks at a store that is back, a second apart, until what it had taken is known to be given back.
const WELL: u32 = 5;

/// Jobs that are remembered after their end.
const JOBS: usize = 20;

/// A user to be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The user's key.
    pub owner: Owner,
    /// As the operator named it, with its domain.
    pub user: String,
    /// Where to: a backend, and a host of it if it is fixed; none: back to what the map says.
    pub to: Option<(String, Option<String>)>,
}

/// A list of moves under way, or done.
#[derive(Debug)]
pub struct Job {
    /// Its number in this process.
    pub id: u64,
    /// How many users it is about.
    pub total: usize,
    /// In seconds of Unix time.
    pub since: u64,
    moved: AtomicUsize,
    failed: Mutex<Vec<(String, String)>>,
    finished: watch::Sender<bool>,
}

impl Job {
    /// How many are where they should be.
    pub fn moved(&self) -> usize {
        self.moved.load(Ordering::Relaxed)
    }

    /// Who stays as it was, and why.
    pub fn failed(&self) -> Vec<(String, String)> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.clone()
    }

    /// Whether there is nothing left to do.
    pub fn is_finished(&self) -> bool {
        *self.finished.borrow()
    }

    /// Waits until there is nothing left to do.
    pub async fn finished(&self) {
        let mut finished = self.finished.subscribe();
        // The sender lives as long as the job.
        let _ = finished.wait_for(|finished| *finished).await;
    }

    fn fail(&self, user: &str, why: &str) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.push((user.to_owned(), why.to_owned()));
    }
}

/// Jobs, the newest last.
#[derive(Debug, Default)]
pub(super) struct Jobs(Mutex<Vec<Arc<Job>>>);

impl State {
    /// Moves users; whoever asked may go away meanwhile. Of several wishes for a user the last counts.
    pub fn move_users(self: &Arc<Self>, wishes: Vec<Wish>) -> Arc<Job> {
        let mut last: HashMap<Owner, usize> = HashMap::with_capacity(wishes.len());
        for (at, wish) in wishes.iter().enumerate() {
            last.insert(wish.owner.clone(), at);
        }
        let wishes = wishes.into_iter().enumerate();
        let wishes: Vec<Wish> = wishes
            .filter(|(at, wish)| last.get(&wish.owner) == Some(at))
            .map(|(_, wish)| wish)
            .collect();
        let mut jobs = self.jobs.0.lock().unwrap_or_else(PoisonError::into_inner);
        let job = Arc::new(Job {
            id: self.numbers.fetch_add(1, Ordering::Relaxed),
            total: wishes.len(),
            since: now(),
            moved: AtomicUsize::new(0),
            failed: Mutex::default(),
            finished: watch::Sender::new(false),
        });
        while jobs.len() >= JOBS
            && let Some(old) = jobs.iter().position(|job| job.is_finished())
        {
            jobs.remove(old);
        }
        jobs.push(job.clone());
        drop(jobs);
        let (state, at_work) = (self.clone(), job.clone());
        tokio::spawn(async move {
            state.work_off(&at_work, wishes).await;
            let failed = at_work.total - at_work.moved();
            tracing::info!(
                target: "gatepost", event = "moved", users = at_work.moved(), failed,
                seconds = now().saturating_sub(at_work.since),
            );
            at_work.finished.send_replace(true);
        });
        job
    }

    /// The jobs under way and those that ended last.
    pub fn jobs(&self) -> Vec<Arc<Job>> {
        let jobs = self.jobs.0.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.clone()
    }

    async fn work_off(self: &Arc<Self>, job: &Job, mut wishes: Vec<Wish>) {
        let mut slow = Vec::new();
        while !wishes.is_empty() {
            let part = PART.max(self.written_each_time() / SHARE);
            let rest = wishes.split_off(wishes.len().min(part));
            let part = std::mem::replace(&mut wishes, rest);
            slow.extend(self.begin(job, part).await);
            // However long the list is: nobody stays held for what others take.
            self.advance(&mut slow, job).await;
            self.end_late(job, &mut slow).await;
            if slow.len() >= SLOW_MAX {
                self.end(job, &mut slow).await;
            }
        }
        self.end(job, &mut slow).await;
    }

    /// Holds users, tells them to leave, and moves those that are gone soon; the others are returned.
    async fn begin(self: &Arc<Self>, job: &Job, part: Vec<Wish>) -> Vec<Leaving> {
        let (wishes, by) = (part.clone(), Instant::now() + LEAVE_WAIT);
        let number = self.version();
        let begun = self.order_by(move |orders| {
            let begun = wishes.iter().cloned();
            let begun = begun.map(|wish| Leaving::begin(wish, by, orders, number));
            let (mut all, mut leaving) = (Vec::new(), Vec::new());
            for (it, changes) in begun.flatten() {
                all.extend(changes);
                leaving.push(it);
            }
            (all, leaving)
        });
        let mut leaving = match begun.await {
            Ok(leaving) => leaving,
            Err(why) => {
                part.iter().for_each(|wish| job.fail(&wish.user, &why));
                // It may have been taken all the same.
                let begun = part.into_iter().map(|wish| Leaving::unsure(wish, number));
                self.give_up(begun.collect()).await;
                return Vec::new();
            }
        };
        let there = part.len() - leaving.len();
        job.moved.fetch_add(there, Ordering::Relaxed);
        let by = Instant::now() + PART_WAIT;
        self.wait_for(&mut leaving, by, job).await;
        leaving
    }

    /// Moves those that take long to leave, and lets in again who takes too long.
    async fn end(self: &Arc<Self>, job: &Job, slow: &mut Vec<Leaving>) {
        while let Some(by) = slow.iter().map(|it| it.by).min() {
            self.wait_for(slow, by, job).await;
            self.end_late(job, slow).await;
        }
    }

    /// Lets those in again, as they were, that took too long to leave.
    async fn end_late(self: &Arc<Self>, job: &Job, slow: &mut Vec<Leaving>) {
        let now = Instant::now();
        let late: Vec<Leaving> = slow.extract_if(.., |it| it.by <= now).collect();
        for it in &late {
            let why = "its sessions did not end in time; ask again";
            job.fail(&it.wish.user, why);
        }
        self.give_up(late).await;
    }

    /// Moves users as they leave, until all have or time is up; leaves those that have not.
    async fn wait_for(self: &Arc<Self>, part: &mut Vec<Leaving>, by: Instant, job: &Job) {
        let mut pause = Duration::from_millis(5);
        while !part.is_empty() {
            self.advance(part, job).await;
            if part.is_empty() || Instant::now() >= by {
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    /// Moves users that have left; leaves those that have not.
    async fn advance(self: &Arc<Self>, part: &mut Vec<Leaving>, job: &Job) {
        if part.is_empty() {
            return;
        }
        let keys: Vec<Owner> = part.iter().flat_map(Leaving::keys).collect();
        let left: HashSet<Owner> = self.clear(&keys).await.into_iter().collect();
        let sessions = |it: &Leaving| match it.keys().iter().any(|key| left.contains(key)) {
            true => Sessions::There,
            false => Sessions::Gone,
        };
        let (quiet, steps): (Vec<_>, Vec<_>) = {
            let orders = self.orders();
            let all = { std::mem::take(part).into_iter() }.map(|it| (sessions(&it), it));
            all.partition(|(sessions, it)| *sessions == Sessions::There && it.is_quiet(&orders))
        };
        *part = quiet.into_iter().map(|(_, it)| it).collect();
        if steps.is_empty() {
            return;
        }
        // Many at once, or the last: each time the file is written.
        let (going, state) = (steps.clone(), self.clone());
        let done = self.order_by(move |orders| {
            let (mut all, mut then) = (Vec::new(), Vec::new());
            for (sessions, mut it) in going.iter().cloned() {
                let (now, changes) = it.step(sessions, orders, state.version());
                all.extend(changes);
                then.push((now, it));
            }
            (all, then)
        });
        match done.await {
            Ok(then) => {
                for (now, it) in then {
                    match now {
                        Now::Moved => drop(job.moved.fetch_add(1, Ordering::Relaxed)),
                        Now::Waits => part.push(it),
                        Now::Overtaken => job.fail(&it.wish.user, OVERTAKEN),
                    }
                }
            }
            Err(why) => {
                let failed: Vec<Leaving> = steps.into_iter().map(|(_, it)| it).collect();
                failed.iter().for_each(|it| job.fail(&it.wish.user, &why));
                self.give_up(failed).await;
            }
        }
    }

    /// Lets users in again as they were.
    async fn give_up(self: &Arc<Self>, those: Vec<Leaving>) {
        if those.is_empty() {
            return;
        }
        let free = move |orders: &Orders| {
            let free: Vec<Change> = those.iter().flat_map(|it| it.give_up(orders)).collect();
            (free, ())
        };
        if self.order_by(free.clone()).await.is_ok() && self.trouble().is_none() {
            return;
        }
        // The store is away for a moment, as a rule, and what it has taken is heard when it is back. If for
        // long the holds end by themselves.
        let state = self.clone();
        tokio::spawn(async move {
            let mut well = 0;
            for _ in 0..HOLD {
                sleep(Duration::from_secs(1)).await;
                let freed = state.order_by(free.clone()).await.is_ok();
                well = match freed && state.trouble().is_none() {
                    true => well + 1,
                    false => 0,
                };
                if well == WELL {
                    return;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests;
