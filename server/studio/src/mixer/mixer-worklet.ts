/** The mixer on the audio thread: orders come in by the port, sound and reports go out. */

import { equip, obey, report, type Message, type Order } from "./messages";
import { Mixer } from "./mixer";

const FRAMES_A_REPORT = 1024;

class MixerProcessor extends AudioWorkletProcessor {
  private readonly mixer: Mixer;
  private unreported = 0;

  constructor(options: { processorOptions: { tracks: number } }) {
    super();
    this.mixer = new Mixer(options.processorOptions.tracks);
    this.port.onmessage = (event: MessageEvent<Order>) => {
      equip(this.mixer, event.data).catch(() => this.say({ kind: "unbent" }));
      const samples = obey(this.mixer, event.data);
      if (samples.length > 0) this.say({ kind: "spent", samples }, samples.map((one) => one.buffer));
    };
  }

  process(_: Float32Array[][], outputs: Float32Array[][]): boolean {
    const [left, right] = outputs[0]!;
    this.mixer.render(left!, right!);
    this.unreported += left!.length;
    if (this.unreported >= FRAMES_A_REPORT) {
      this.unreported = 0;
      const message = report(this.mixer);
      this.say(message, [message.levels.buffer]);
    }
    return !this.mixer.closed;
  }

  private say(message: Message, goods: ArrayBufferLike[] = []): void {
    this.port.postMessage(message, goods as ArrayBuffer[]);
  }
}

registerProcessor("mixer", MixerProcessor);
