//! Carries out what was ordered for a later time: the end of a drain.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::protocol::Farewell;
use crate::session::Registry;
use crate::session::registry::Filter;
use crate::state::{Place, State};

/// How often is looked.
const TICK: Duration = Duration::from_secs(1);

/// Says goodbye to sessions on hosts whose drain is over, as long as there are any.
pub(super) async fn carry_out(state: Arc<State>, registry: Arc<Registry>) {
    loop {
        sleep(TICK).await;
        let over: Vec<Place> = {
            let orders = state.orders();
            let drains = orders.drains().filter(|(_, drain)| drain.is_over());
            drains.map(|(place, _)| place.clone()).collect()
        };
        for place in over {
            let there = Filter {
                backend: Some(place.backend.to_string()),
                host: Some(place.host.to_string()),
                ..Filter::default()
            };
            registry.end(&there, Farewell::Kicked);
        }
    }
}
