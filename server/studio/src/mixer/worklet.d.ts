/** What the audio thread's global scope has, as far as the mixer uses it. */

declare abstract class AudioWorkletProcessor {
  readonly port: MessagePort;
  abstract process(inputs: Float32Array[][], outputs: Float32Array[][]): boolean;
}

declare function registerProcessor(
  name: string,
  processor: new (options: { processorOptions: { tracks: number } }) => AudioWorkletProcessor,
): void;

/** The built mixer's file name; the build fills it in. */
declare const MIXER_FILE: string;

/** The built stretcher's, likewise. */
declare const STRETCH_FILE: string;

/** Makes a stretcher; there once its script has run. */
declare var openStretch: (() => Promise<import("./stretch").Stretch>) | undefined;

/** Sets the package's WebAssembly up; the build leaves nothing else of it. */
declare module "signalsmith-stretch" {
  const open: () => Promise<import("./stretch").Engine>;
  export default open;
}
