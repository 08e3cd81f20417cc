//! Who is served where.

/// What is served to the connections of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// All there is.
    Both,
    /// Clients; operators have a listener of their own.
    Clients,
    /// Operators.
    Operators,
}

impl Door {
    pub(super) fn serves_clients(self) -> bool {
        self != Door::Operators
    }

    pub(super) fn serves_operators(self) -> bool {
        self != Door::Clients
    }
}
