// @ts-check
// The sound of several takes: one plays, the others wait at the same place.

/** @type {(() => void) | undefined} */
let pausePlaying; // of whatever player is playing: there is one pair of ears

/**
 * @param {HTMLAudioElement[]} sounds
 * @param {number[]} levels volumes from 0 to 1
 * @param {() => void} onChange called when something has started, stopped or moved on
 */
export const transport = (sounds, levels, onChange) => {
  let current = 0;
  sounds.forEach((sound, index) => {
    sound.volume = levels[index];
    for (const type of ["play", "pause", "timeupdate", "seeked", "loadedmetadata"])
      sound.addEventListener(type, onChange);
  });
  const pause = () => sounds[current]?.pause();
  const play = () => {
    if (pausePlaying !== pause) pausePlaying?.();
    pausePlaying = pause;
    return sounds[current]?.play();
  };
  return {
    play,
    pause,
    toggle: () => (sounds[current]?.paused === false ? pause() : play()),
    get current() {
      return current;
    },
    get playing() {
      return sounds[current]?.paused === false;
    },
    get seconds() {
      return sounds[current]?.currentTime ?? 0;
    },
    /** Go on with another take at the same place. */
    choose(/** @type {number} */ index) {
      if (index === current || !sounds[index]) return;
      const before = sounds[current];
      const running = !before.paused;
      before.pause();
      current = index;
      sounds[index].currentTime = before.currentTime;
      if (running) play();
      onChange();
    },
    seek(/** @type {number} */ seconds) {
      if (sounds[current]) sounds[current].currentTime = seconds;
    },
    end() {
      pause();
      if (pausePlaying === pause) pausePlaying = undefined;
      for (const sound of sounds) sound.removeAttribute("src");
    },
  };
};
