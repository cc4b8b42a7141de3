/** The built mixer as the audio thread runs it, without a browser, and a song in it for the tests beside. */

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";

export const BLOCK = 22_050;
export const QUANTUM = 128;
export const RAMP = 256;
const dist = new URL("../../server/studio/dist/", import.meta.url);
const file = readdirSync(dist).find((name) => name.startsWith("mixer-"));

delete Array.prototype.findLast; // browsers of 2022 have none
let Processor;
globalThis.AudioWorkletProcessor = class {
  port = {
    reports: [],
    spent: [],
    postMessage: (message) => {
      if (message.kind === "report") this.port.reports.push(message);
      else this.port.spent.push(...message.samples);
    },
  };
};
globalThis.registerProcessor = (_, processor) => (Processor = processor);
await import(new URL(file, dist));
await import(new URL(readdirSync(dist).find((name) => /^stretch-.*js$/.test(name)), dist));

/** A mixer with a song in it: `sample(track, frame)` is what the track has there. */
export class Deck {
  constructor(tracks, frames, sample) {
    this.tracks = tracks;
    this.frames = frames;
    this.sample = sample;
    this.processor = new Processor({ processorOptions: { tracks } });
    this.serial = 0;
    this.apart = 0; // left and right are the same here
    this.order({ kind: "total", frames });
    this.order({ kind: "gains", gains: Array(tracks).fill(1) });
  }

  order(order) {
    this.processor.port.onmessage({ data: order });
  }

  put(block, names = [...Array(this.tracks).keys()]) {
    const samples = new Int16Array(BLOCK * 2 * names.length);
    for (let frame = 0; frame < BLOCK; frame++) {
      names.forEach((track, k) => {
        const value = this.sample(track, block * BLOCK + frame);
        samples[2 * (frame * names.length + k)] = value;
        samples[2 * (frame * names.length + k) + 1] = value;
      });
    }
    this.order({ kind: "layer", block, layer: { tracks: names, samples } });
  }

  putAll() {
    for (let block = 0; block * BLOCK < this.frames; block++) this.put(block);
    return this;
  }

  seek(frame) {
    this.order({ kind: "seek", frame, serial: ++this.serial });
  }

  /** The left channel of so many frames, in units of a 16-bit sample. */
  run(frames) {
    const found = [];
    while (found.length < frames) {
      const [left, right] = [new Float32Array(QUANTUM), new Float32Array(QUANTUM)];
      this.processor.process([], [[left, right]]);
      left.forEach((value, at) => assert.ok(Math.abs(value - right[at]) <= this.apart));
      found.push(...left);
    }
    return found.slice(0, frames).map((value) => value * 32_768);
  }

  /** Tempo and semitones; resolves when they are heard. */
  async bend(tempo, semitones) {
    this.apart = 1e-3;
    this.order({ kind: "bend", bend: { tempo, semitones } });
    await new Promise((resolve) => setTimeout(resolve, 100)); // the WebAssembly is made ready
    this.run(1024);
  }

  get last() {
    this.run(1024);
    return this.processor.port.reports.at(-1);
  }
}

export const ramp = (_, frame) => (frame % 30_000) + 1;
