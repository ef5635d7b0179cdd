//! A page of which a part is written by a program.

/// What is before and after that part.
pub(crate) struct Markers {
    pub(crate) begin: &'static str,
    pub(crate) end: &'static str,
}

impl Markers {
    /// `page` with what is between the markers replaced; with markers at its end if it has none.
    pub(crate) fn replace(&self, page: &str, generated: &str) -> String {
        let Self { begin, end } = self;
        let (before, after) = match (page.find(begin), page.find(end)) {
            (Some(first), Some(last)) if first < last => {
                (&page[..first], &page[last + end.len()..])
            }
            _ => (page, "\n"),
        };
        format!("{before}{begin}\n\n{}\n\n{end}{after}", generated.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKERS: Markers = Markers { begin: "<!-- begin -->", end: "<!-- end -->" };

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let page = "above\n<!-- begin -->\nold\n<!-- end -->\nbelow\n";
        let written = MARKERS.replace(page, "new");
        assert_eq!(written, "above\n<!-- begin -->\n\nnew\n\n<!-- end -->\nbelow\n");
        assert_eq!(MARKERS.replace(&written, "new"), written);
    }

    #[test]
    fn a_page_without_markers_gets_them() {
        let written = MARKERS.replace("above\n", "new");
        assert_eq!(written, "above\n<!-- begin -->\n\nnew\n\n<!-- end -->\n");
    }
}
