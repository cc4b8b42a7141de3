/** The stretcher's script: fetched when tempo or pitch are first changed, for whoever has a mixer. */

import open from "signalsmith-stretch";
import { Stretch } from "./stretch";

globalThis.openStretch = async () => new Stretch(await open());
