//! The `labels!` macro: enums whose variants each have one label, the same in logs, JSON and metrics.

/// An enum declared by [`labels!`].
pub trait Label: Copy + 'static {
    /// Every variant, in the order of declaration.
    const ALL: &'static [Self];

    /// The variant's label, unique within the enum.
    fn label(self) -> &'static str;

    /// The variant's position in [`ALL`](Self::ALL).
    fn index(self) -> usize;

    /// The variant with this label.
    fn parse(label: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|variant| variant.label() == label)
    }
}

/// Declares an enum with a label for each variant, and optionally a method that returns another constant for each:
///
/// ```text
/// labels! {
///     /// Why it ended.
///     pub enum Reason {
///         /// The peer closed.
///         Normal = "normal" => 1000,
///     }
///     /// The close code.
///     fn code -> u16;
/// }
/// ```
///
/// The enum gets `ALL`, `label`, [`Label`], `Display` and `Serialize`; the last two write the label.
macro_rules! labels {
    (
        $(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident = $label:literal,)+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The label in logs, JSON and metrics.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),+ }
            }
        }

        impl $crate::labels::Label for $name {
            const ALL: &'static [Self] = Self::ALL;

            fn label(self) -> &'static str {
                self.label()
            }

            fn index(self) -> usize {
                self as usize
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.label())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.label())
            }
        }
    };
    (
        $(#[$meta:meta])* $vis:vis enum $name:ident {
            $($(#[$doc:meta])* $variant:ident = $label:literal => $value:literal,)+
        }
        $(#[$method_doc:meta])* fn $method:ident -> $type:ty;
    ) => {
        $crate::labels::labels! { $(#[$meta])* $vis enum $name { $($(#[$doc])* $variant = $label,)+ } }

        impl $name {
            $(#[$method_doc])*
            pub const fn $method(self) -> $type {
                match self { $(Self::$variant => $value),+ }
            }
        }
    };
}

pub(crate) use labels;

#[cfg(test)]
mod tests {
    use super::Label;

    labels! {
        /// Sizes.
        enum Size {
            /// Up to 9.
            Small = "small" => 9,
            /// Up to 99.
            Large = "large" => 99,
        }
        /// The upper bound.
        fn max -> u8;
    }

    #[test]
    fn label_parses_to_its_variant_and_index_is_its_position() {
        for (index, size) in Size::ALL.iter().enumerate() {
            assert_eq!((size.index(), Size::parse(size.label())), (index, Some(*size)));
            assert_eq!(serde_json::to_value(size).unwrap(), size.to_string());
        }
        assert_eq!(Size::parse("SMALL"), None);
        assert_eq!(Size::ALL.iter().map(|size| size.max()).collect::<Vec<_>>(), [9, 99]);
    }
}
