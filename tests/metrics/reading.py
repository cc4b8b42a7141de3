"""Figures as a scraper reads them."""

from prometheus_client.parser import text_string_to_metric_families


class Scraped:
    """What one scrape told, by name and labels."""

    def __init__(self, text: str) -> None:
        self.families = list(text_string_to_metric_families(text))
        self.samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families for sample in family.samples
        }  # fmt: skip

    @property
    def names(self) -> set[str]:
        """Every name that is declared, counters with their `_total`."""
        return {family.name + ("_total" if family.type == "counter" else "")
                for family in self.families}  # fmt: skip

    def of(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        """A sample's series: value by labels."""
        return {labels: value for (found, labels), value in self.samples.items() if found == name}

    def value(self, name: str, **labels: str) -> float | None:
        """One series' value; None where there is none."""
        return self.samples.get((name, tuple(sorted(labels.items()))))
