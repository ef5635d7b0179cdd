//! The models: each is one story of a few threads.

mod blocks;
mod cells;
#[cfg(not(feature = "halves"))]
mod index;
#[cfg(not(feature = "halves"))]
mod line;
mod marks;
#[cfg(not(feature = "halves"))]
mod shared;
mod verify;

/// What to explore, and how often a thread may be interrupted where it need not be; `None`: ever.
pub(crate) type Model = (&'static str, Option<usize>, fn());

pub(crate) const MODELS: &[Model] = &[
    ("one cell: one gives back, two take", Some(3), cells::one_cell),
    ("two cells: two take and give back", Some(4), cells::two_cells),
    ("a search and a release", None, cells::search_and_release),
    ("a search and two releases", None, cells::search_and_two_releases),
    ("a stale kind", None, cells::stale_kind),
    ("a stale kind and a search", Some(3), cells::stale_kind_and_search),
    ("a run closed and reopened", None, cells::closed_and_reopened),
    ("released, taken apart, cut anew", None, cells::cut_anew),
    ("quietly released, cut anew", None, cells::quietly_released_and_cut_anew),
    ("two released, taken apart, cut anew", Some(3), cells::two_released_and_cut_anew),
    ("marks: cleared while others mark", Some(3), marks::cleared_while_marked),
    ("marks: cleared while a run is opened", None, marks::cleared_while_opened),
    ("marks: a walk over empty runs", None, marks::empty_runs),
    ("marks: cleared on a walk", None, marks::cleared_on_a_walk),
    ("marks: emptied while claimed", Some(3), marks::emptied_while_claimed),
    ("block: released, cut as a run", Some(2), blocks::released_and_cut),
    ("block: frozen and released", None, blocks::frozen),
    ("block: looked for where a run ends", None, blocks::made_of_a_run),
    ("frozen and released", None, verify::frozen),
    ("frozen and emptied", Some(4), verify::emptied),
    ("frozen and searched", None, verify::frozen_and_search),
    ("frozen, released and taken", Some(3), verify::frozen_released_and_taken),
    ("frozen while it is taken", None, verify::frozen_while_taken),
    ("frozen, taken apart, cut anew", Some(3), verify::frozen_and_cut_anew),
];

/// What has no words of 64 bits, and need not be explored for each kind of them.
#[cfg(not(feature = "halves"))]
pub(crate) const WITHOUT_WORDS: &[Model] = &[
    ("index: marked while it is cleared", None, index::marked_while_cleared),
    ("index: a neighbour is marked", None, index::neighbour_is_marked),
    ("index: another place is marked", None, index::other_place_is_marked),
    ("index: two mark, one clears", Some(3), index::two_mark),
    ("line: one waits", None, line::one_waits),
    ("line: two wait", Some(3), line::two_wait),
    ("line: the first gives up", Some(3), line::first_gives_up),
    ("line: the first is served", Some(3), line::first_is_served),
    ("line: one looks while another tries", Some(3), line::one_looks_while_the_other_tries),
    ("shared: one comes while the last leaves", None, shared::one_comes_while_the_last_leaves),
    ("shared: two leave what was retired", None, shared::two_leave_what_was_retired),
    ("shared: retired while it is claimed", None, shared::retired_while_it_is_claimed),
    ("shared: replaced while it is opened", None, shared::replaced_while_opened),
    ("shared: replaced while it is found", None, shared::replaced_while_found),
    ("shared: taken away, opened for another", Some(3), shared::taken_away_and_opened_for_another),
    ("shared: emptied, and filled by another", None, shared::emptied_and_filled_by_another),
];
#[cfg(feature = "halves")]
pub(crate) const WITHOUT_WORDS: &[Model] = &[];
