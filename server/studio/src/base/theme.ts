/** Light or dark: the system's choice until somebody chooses. */

const PLACE = "stembox.theme";
type Theme = "light" | "dark";

export class ThemeSwitch {
  private readonly system = matchMedia("(prefers-color-scheme: dark)");

  /** `changed` hears of every change: what is painted must be painted anew. */
  constructor(private readonly button: HTMLButtonElement, private readonly changed: () => void) {
    button.addEventListener("click", () => this.choose(this.dark ? "light" : "dark"));
    this.system.addEventListener("change", () => this.show());
    this.show();
  }

  /** Whether the page is dark now. */
  get dark(): boolean {
    return (document.documentElement.dataset.theme ?? this.current) === "dark";
  }

  private get current(): Theme {
    return this.chosen ?? (this.system.matches ? "dark" : "light");
  }

  private get chosen(): Theme | null {
    try {
      const kept = localStorage.getItem(PLACE);
      return kept === "light" || kept === "dark" ? kept : null;
    } catch {
      return null;
    }
  }

  private choose(theme: Theme): void {
    try {
      localStorage.setItem(PLACE, theme);
    } catch {
      // it holds for this page
    }
    document.documentElement.dataset.theme = theme;
    this.show();
  }

  private show(): void {
    if (this.chosen !== null) document.documentElement.dataset.theme = this.chosen;
    this.button.setAttribute("aria-pressed", String(this.dark));
    this.button.title = this.dark ? "Light theme" : "Dark theme";
    this.changed();
  }
}
