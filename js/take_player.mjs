// @ts-check
// The player of takes: a strip for each song of a batch, with its wave and what is known of it. One plays, and another
// goes on at the same place. Keys: space plays, 1 to 8 choose, arrows seek on a wave.
import { button, make } from "./elements.mjs";
import { askSong, fileAddress, setStar, textsOf, widgetName } from "./host.mjs";
import { lyricsView } from "./lyrics_view.mjs";
import { clock, facts, label, numbersText, peaksOf, shuffled, usableSeed, volumes, wavePath } from "./take_facts.mjs";
import { keepOnly, samplerOf, useSeed } from "./take_graph.mjs";
import { transport } from "./take_sound.mjs";

/** @typedef {import("./take_facts.mjs").Take} Take */

const SVG = "http://www.w3.org/2000/svg";
const SEEK_SECONDS = 5;

/** The wave twice: the whole, and the part that was heard, which is cut by a style. */
const waveOf = (/** @type {Take} */ take) => {
  const peaks = peaksOf(take.peaks);
  return ["whole", "heard"].map((part) => {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${Math.max(peaks.length - 1, 1)} 511`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("class", part);
    svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", wavePath(peaks));
    svg.append(path);
    return svg;
  });
};

/**
 * Fill a panel; returns `show`, which is given the takes of each run.
 * @param {any} node
 * @param {HTMLElement} panel
 */
export const takePlayer = async (node, panel) => {
  const texts = await textsOf("takes");

  /** @type {Take[]} */
  let takes = [];
  /** @type {HTMLElement[]} */
  let strips = [];
  /** @type {ReturnType<typeof transport> | undefined} */
  let sound;
  let blind = false;
  /** @type {number[]} */
  let order = [];
  /** @type {Set<number>} */
  const kept = new Set();

  const current = () => takes[sound?.current ?? 0];
  const play = button("▶", texts.play, () => sound?.toggle());
  const time = make("span", { class: "time" });
  const hide = button("◐", texts.blind, () => setBlind(!blind));
  const seed = button(texts.use_seed, texts.use_seed_hint, () => {
    const sampler = samplerOf(node);
    const chosen = current().seed;
    if (sampler && chosen !== null) useSeed(sampler, chosen);
    say(sampler ? `${texts.seed} ${chosen}` : texts.no_sampler);
  });
  const keep = button(texts.keep, texts.keep_hint, () => {
    const numbers = numbersText(kept.size ? kept : [current().number]);
    keepOnly(node, numbers);
    say(`${texts.kept} ${numbers}`);
  });
  const said = make("span", { class: "said", role: "status" });
  const list = make("div", { class: "strips" });
  const empty = make("div", { class: "empty" });
  const bar = make("div", { class: "bar" }, play, time, hide, seed, keep, said);
  const lyrics = lyricsView(texts.lyrics, (seconds) => sound?.seek(seconds));

  const say = (/** @type {string} */ text) => (said.textContent = text);

  const update = () => {
    const take = current();
    if (!take || !sound) return;
    play.textContent = sound.playing ? "❚❚" : "▶";
    play.setAttribute("aria-label", sound.playing ? texts.pause : texts.play);
    time.textContent = `${clock(sound.seconds)} / ${clock(take.seconds)}`;
    lyrics.show(take.lines);
    lyrics.follow(sound);
    seed.disabled = blind || !usableSeed(take);
    strips.forEach((strip, index) => {
      const chosen = index === sound?.current;
      strip.classList.toggle("chosen", chosen);
      strip.querySelector(".choose")?.setAttribute("aria-pressed", String(chosen));
      const wave = /** @type {HTMLElement} */ (strip.querySelector(".wave"));
      const share = Math.min(1, (sound?.seconds ?? 0) / takes[index].seconds);
      wave.style.setProperty("--heard", `${100 * share}%`);
      wave.setAttribute("aria-valuenow", String(Math.round(sound?.seconds ?? 0)));
      wave.setAttribute("aria-valuetext", clock(sound?.seconds ?? 0));
    });
  };

  /** A star that is kept in the song's file; none for a file that is not saved. */
  const starOf = (/** @type {Take} */ take) => {
    const star = button("☆", texts.star, async () => {
      try {
        draw(await setStar(widgetName(take.file), star.getAttribute("aria-pressed") !== "true"));
      } catch (error) {
        say(/** @type {Error} */ (error).message);
      }
    });
    const draw = (/** @type {boolean | null} */ starred) => {
      star.hidden = starred === null;
      star.textContent = starred ? "★" : "☆";
      star.setAttribute("aria-pressed", String(starred));
    };
    star.className = "star";
    draw(null);
    if (take.file.type === "output")
      askSong(widgetName(take.file)).then(
        ({ starred }) => draw(starred),
        () => {},
      );
    return star;
  };

  const stripOf = (/** @type {Take} */ take, /** @type {number} */ index) => {
    const choose = button("", "", () => sound?.choose(index));
    choose.className = "choose";
    const wave = make(
      "div",
      { class: "wave", role: "slider", tabindex: "0", "aria-valuemin": "0", "aria-valuemax": `${take.seconds}` },
      ...waveOf(take),
    );
    wave.addEventListener("pointerdown", (event) => {
      const box = wave.getBoundingClientRect();
      sound?.choose(index);
      sound?.seek(((event.clientX - box.left) / box.width) * take.seconds);
    });
    const keeping = make("input", { type: "checkbox", "aria-label": texts.keep, title: texts.keep });
    keeping.addEventListener("change", () => (keeping.checked ? kept.add(take.number) : kept.delete(take.number)));
    const known = make("span", { class: "facts" });
    const strip = make("div", { class: "strip" }, choose, wave, known, starOf(take), keeping);
    strip.classList.toggle("picked", take.picked);
    return strip;
  };

  const nameStrips = () => {
    order.forEach((index, place) => {
      const name = label(takes[index], place, blind);
      const choose = /** @type {HTMLElement} */ (strips[index].querySelector(".choose"));
      choose.textContent = name;
      choose.setAttribute("aria-label", `${texts.take} ${name}`);
      strips[index].querySelector(".wave")?.setAttribute("aria-label", `${texts.position} ${name}`);
      const known = /** @type {HTMLElement} */ (strips[index].querySelector(".facts"));
      known.title = known.textContent = blind ? "" : facts(takes[index], texts);
    });
    list.replaceChildren(...order.map((index) => strips[index]));
  };

  const setBlind = (/** @type {boolean} */ wanted) => {
    blind = wanted;
    order = blind ? shuffled(takes.length) : takes.map((_, index) => index);
    hide.setAttribute("aria-pressed", String(blind));
    panel.classList.toggle("blind", blind);
    nameStrips();
    update();
  };

  panel.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const place = Number(event.key) - 1;
    if (event.key === " " && (target === panel || target.matches(".choose, .wave"))) sound?.toggle();
    else if (place >= 0 && place < Math.min(order.length, 8)) sound?.choose(order[place]);
    else if (target.matches(".wave") && (event.key === "ArrowLeft" || event.key === "ArrowRight"))
      sound?.seek(Math.max(0, sound.seconds + (event.key === "ArrowLeft" ? -SEEK_SECONDS : SEEK_SECONDS)));
    else return;
    event.preventDefault();
  });

  /** `hint` stands where there is nothing to hear. */
  const show = (/** @type {Take[]} */ shown, hint = texts.empty) => {
    sound?.end();
    takes = shown;
    kept.clear();
    say("");
    empty.textContent = hint;
    const sounds = takes.map((take) => {
      const audio = make("audio", { preload: "metadata" });
      audio.src = fileAddress(take.file);
      return audio;
    });
    sound = transport(sounds, volumes(takes), update);
    strips = takes.map(stripOf);
    const timed = takes.some(({ lines }) => lines.length) ? [lyrics.element] : [];
    panel.replaceChildren(...(takes.length ? [bar, list, ...timed, ...sounds] : [empty]));
    setBlind(false);
  };
  show([]);
  return { show: (/** @type {Take[] | undefined} */ shown) => show(shown ?? [], shown ? undefined : texts.no_audio) };
};
