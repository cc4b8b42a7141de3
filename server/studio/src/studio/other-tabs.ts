/** The page's other tabs in this browser: whoever starts playing is heard alone. */

export class OtherTabs {
  private readonly channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel("stembox");

  /** `started` hears of another tab that has begun to play. */
  constructor(started: () => void) {
    this.channel?.addEventListener("message", started);
  }

  tell(): void {
    this.channel?.postMessage("playing");
  }
}
