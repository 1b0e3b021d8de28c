// @ts-check
// The parts that Repaint replaces, drawn on the wave of the recording: drag to draw, move and resize; double-click or
// Delete removes. The plain widgets start, end and more_regions stay the truth.
//
// Before a run the wave is read from the file behind the wire, after a run it comes from the node, whatever the wire.
// wavesurfer gets an element and peaks: what it does by itself, a blob address, is refused by ComfyUI's policy.
import { button, make } from "./elements.mjs";
import {
  bridgePointer,
  fileAddress,
  onWidget,
  onWires,
  recordingBehind,
  setWidget,
  textsOf,
  upstream,
  widgetOf,
} from "./host.mjs";
import { barSeconds, columnPeaks, snapped, spansOf, writtenOf } from "./region_facts.mjs";
import { clock, peaksOf } from "./take_facts.mjs";

/** @typedef {import("./take_facts.mjs").Take} Take */
/** @typedef {{ address: string, peaks: Float32Array, seconds: number }} Recording */

const WIDGETS = ["start", "end", "more_regions"];
const COLUMNS = 2000;
const DECODED_RATE = 8000; // of samples that are only looked at: ten minutes fit into 40 MB
const LEAD_IN_SECONDS = 2;
const NEW_SECONDS = 4; // of a region that is added where no bar is known
const COLOUR = "rgba(255, 160, 50, 0.35)";
const CHOSEN = "rgba(255, 160, 50, 0.55)";
const WAVE = "#8a8f98"; // on light and dark
const EXTRA_PIXELS = 5; // that wavesurfer's regions end behind the mouse that drew them
const STEP_SECONDS = 0.1; // of the arrow keys where nothing snaps

/** @type {Promise<any[]> | undefined} */
let library;
const load = () =>
  (library ??= Promise.all(
    ["wavesurfer", "regions", "timeline"].map(async (name) => (await import(`./vendor/${name}.mjs`)).default),
  ));

/** @returns {Promise<Recording>} */
const read = async (/** @type {string} */ address) => {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${answer.status}`);
  const sound = await new OfflineAudioContext(1, 1, DECODED_RATE).decodeAudioData(await answer.arrayBuffer());
  return { address, peaks: columnPeaks(sound.getChannelData(0), COLUMNS), seconds: sound.duration };
};

/**
 * @param {any} node
 * @param {HTMLElement} panel
 */
export const regionEditor = async (node, panel) => {
  const texts = await textsOf("regions");

  /** @type {any} */
  let surfer;
  /** @type {any} */
  let regions;
  /** @type {any} */
  let chosen;
  let address = "";
  let seconds = 0;
  let zoom = 1;
  let snap = true;
  let quiet = 0; // above 0 while the editor itself changes regions or widgets

  const value = (/** @type {string} */ name) => widgetOf(node, name)?.value;
  const bar = () => {
    const plan = upstream(node).find((each) => widgetOf(each, "bpm") && widgetOf(each, "time_signature"));
    return plan ? barSeconds(widgetOf(plan, "bpm").value, widgetOf(plan, "time_signature").value) : 0;
  };
  const grid = () => (snap ? bar() : 0);
  const silently = (/** @type {() => void} */ act) => {
    quiet++;
    try {
      act();
    } finally {
      quiet--;
    }
  };

  const wave = make("div", { class: "surface" });
  const said = make("span", { class: "said", role: "status" });
  const empty = make("div", { class: "empty" });
  const say = (/** @type {string} */ text) => (said.textContent = said.title = text);
  const toggle = button("▶", texts.play, () => surfer?.playPause());
  const part = button("▶|", texts.part, () => {
    if (chosen) surfer.play(Math.max(0, chosen.start - LEAD_IN_SECONDS), chosen.end);
  });
  const bars = button("▦", texts.snap, () => {
    snap = !snap;
    bars.setAttribute("aria-pressed", String(snap));
  });
  bars.setAttribute("aria-pressed", "true");
  const zoomBy = (/** @type {number} */ factor) => {
    zoom = Math.max(1, Math.min(64, zoom * factor));
    surfer?.zoom(zoom === 1 ? 0 : (zoom * wave.clientWidth) / seconds);
  };
  const add = button("+", texts.add, () => {
    const start = surfer.getCurrentTime();
    let region;
    silently(() => {
      region = regions.addRegion({ start, end: Math.min(seconds, start + NEW_SECONDS), color: COLOUR });
    });
    settle(region);
  });
  const remove = button("×", texts.remove, () => drop(chosen));
  const zoomIn = button("⊕", texts.zoom_in, () => zoomBy(2));
  const zoomOut = button("⊖", texts.zoom_out, () => zoomBy(0.5));
  const controls = make("div", { class: "bar" }, toggle, part, add, remove, bars, zoomOut, zoomIn, said);
  bridgePointer(wave);

  const tell = () => {
    const spans = [...regions.getRegions()].sort((one, other) => one.start - other.start);
    say(spans.map((/** @type {any} */ { start, end }) => `${start.toFixed(2)}–${end.toFixed(2)} s`).join(", "));
  };

  const choose = (/** @type {any} */ region) => {
    chosen = region;
    silently(() => {
      for (const each of regions.getRegions()) each.setOptions({ color: each === region ? CHOSEN : COLOUR });
    });
  };

  /** Widgets to regions. */
  const draw = () => {
    if (quiet || !surfer) return;
    const written = Object.fromEntries([...WIDGETS, "unit"].map((name) => [name, value(name)]));
    const spans = spansOf(/** @type {any} */ (written), bar(), seconds);
    silently(() => {
      regions.clearRegions();
      for (const span of spans ?? []) regions.addRegion({ ...span, color: COLOUR });
    });
    choose(regions.getRegions()[0]);
    if (spans) tell();
    else say(value("unit") === "bars" && !bar() ? texts.no_bars : texts.unreadable);
  };

  /** Regions to widgets. */
  const write = () => {
    const spans = regions.getRegions();
    if (quiet || !spans.length || (value("unit") === "bars" && !bar())) return;
    const written = writtenOf(spans, value("unit"), bar(), seconds);
    silently(() => Object.entries(written).forEach(([name, text]) => setWidget(node, name, text)));
    tell();
  };

  const drop = (/** @type {any} */ region) => {
    if (!region || regions.getRegions().length < 2) return; // Repaint needs one
    region.remove();
    choose(regions.getRegions()[0]);
    write();
  };

  const settle = (/** @type {any} */ region) => {
    if (quiet) return;
    silently(() => region.setOptions(snapped(region, grid(), seconds)));
    choose(region);
    write();
  };

  const drawn = (/** @type {any} */ region) => {
    const extra = (EXTRA_PIXELS * seconds) / surfer.getWrapper().clientWidth;
    silently(() => region.setOptions({ end: Math.max(region.start, region.end - extra) }));
    settle(region);
  };

  const close = () => {
    surfer?.pause();
    surfer?.destroy();
    surfer = undefined;
  };

  const open = async (/** @type {Recording} */ recording) => {
    const [WaveSurfer, Regions, Timeline] = await load();
    close();
    const media = make("audio", { src: recording.address });
    panel.replaceChildren(controls, wave, media);
    seconds = recording.seconds;
    zoom = 1;
    regions = Regions.create();
    const colour = getComputedStyle(panel).color;
    surfer = WaveSurfer.create({
      container: wave,
      height: 96,
      media,
      peaks: [recording.peaks],
      duration: seconds,
      waveColor: WAVE,
      progressColor: "#4a9be8",
      cursorColor: colour,
      plugins: [
        regions,
        Timeline.create({ height: 14, formatTimeCallback: clock, style: { color: colour, fontSize: "10px" } }),
      ],
    });
    surfer.on("error", (/** @type {Error} */ error) => say(`${texts.failed} ${error.message}`));
    for (const state of ["play", "pause", "finish"])
      surfer.on(state, () => (toggle.textContent = surfer?.isPlaying() ? "❚❚" : "▶"));
    regions.enableDragSelection({ color: COLOUR });
    // a drawn region exists for others a moment after it is told
    regions.on("region-created", (/** @type {any} */ region) => quiet || requestAnimationFrame(() => drawn(region)));
    regions.on("region-updated", settle);
    regions.on("region-clicked", choose);
    regions.on("region-double-clicked", drop);
    surfer.on("ready", draw);
  };

  const missing = (/** @type {string} */ hint) => {
    close();
    empty.textContent = hint;
    panel.replaceChildren(empty);
  };

  /** Show the file behind the wire, if it is another one. */
  const refresh = async () => {
    const behind = recordingBehind(node, "audio");
    if (!behind) return surfer ? undefined : missing(texts.choose);
    if (!watched.has(behind.node)) {
      watched.add(behind.node);
      onWidget(behind.node, "audio", refresh);
    }
    if (behind.address === address) return;
    address = behind.address;
    try {
      const recording = await read(address);
      if (recording.address === address) await open(recording);
    } catch (error) {
      missing(`${texts.choose} (${/** @type {Error} */ (error).message})`);
    }
  };
  const watched = new WeakSet();

  panel.addEventListener("keydown", (event) => {
    if (!surfer || event.target !== panel) return;
    const step = (event.key === "ArrowLeft" ? -1 : 1) * (grid() || STEP_SECONDS);
    if (event.key === " ") surfer.playPause();
    else if (event.key === "Delete" || event.key === "Backspace") drop(chosen);
    else if (chosen && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      const start = event.shiftKey ? chosen.start : Math.max(0, chosen.start + step);
      const end = Math.min(seconds, chosen.end + step);
      if (end <= start) return;
      silently(() => chosen.setOptions({ start, end }));
      write();
    } else return;
    event.preventDefault();
  });
  panel.addEventListener("pointerenter", refresh); // whatever has changed in the graph
  for (const name of [...WIDGETS, "unit"]) onWidget(node, name, draw);
  onWires(node, refresh);
  missing(texts.choose);
  await refresh();

  return {
    end: close,
    /** What the node heard, after a run. */
    heard: async (/** @type {Take | undefined} */ take) => {
      if (!take || (surfer && recordingBehind(node, "audio"))) return;
      const peaks = Float32Array.from(peaksOf(take.peaks), (peak) => peak / 255);
      await open({ address: fileAddress(take.file), peaks, seconds: take.seconds });
    },
  };
};
