//! Hosts that are not there: addresses of this machine where connections are refused. A socket is
//! bound to each and does not listen, so that nobody else is given it meanwhile.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

/// An address where nobody listens, as long as this lives and until somebody listens at it on purpose.
pub(crate) struct Absent {
    _bound: Socket,
    pub(crate) at: SocketAddr,
}

impl Absent {
    pub(crate) fn new() -> Absent {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // Who listens here on purpose sets it too, as listeners do.
        bound.set_reuse_address(true).unwrap();
        bound
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        let at = bound.local_addr().unwrap().as_socket().unwrap();
        Absent { _bound: bound, at }
    }
}
