"use strict";
(() => {
  const study = JSON.parse(document.getElementById("study").textContent);
  const at = (id) => document.getElementById(id);
  const left = at("left"), right = at("right");
  const state = { rater: "", screens: [], answers: [], now: 0, since: 0 };

  // The same draws as in draws.py.
  function draws(text) {
    let seed = 0x811c9dc5;
    for (const byte of new TextEncoder().encode(text)) seed = Math.imul(seed ^ byte, 0x01000193) >>> 0;
    const below = (count) => {
      seed = (seed + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) * count) / 4294967296);
    };
    const shuffled = (items) => {
      const mixed = [...items];
      for (let last = mixed.length - 1; last > 0; last--) {
        const other = below(last + 1);
        [mixed[last], mixed[other]] = [mixed[other], mixed[last]];
      }
      return mixed;
    };
    return { below, shuffled };
  }

  function screensOf(rater) {
    const count = study.forms.length;
    const form = study.raters.length ? study.raters.indexOf(rater) % count : draws(`${study.id}/form/${rater}`).below(count);
    const drawn = draws(`${study.id}/${rater}`);
    return drawn.shuffled(study.forms[form]).map((trial) => {
      const { reference, clips } = study.trials[trial];
      const [a, b] = clips;
      return drawn.below(2) === 1 ? { trial, reference, left: b, right: a } : { trial, reference, left: a, right: b };
    });
  }

  // Kept in this browser. Where it keeps nothing (private windows), the rater is told.
  const place = (rater) => `animate-x-study/${study.id}/${rater}`;
  const lastPlace = `animate-x-study/${study.id}`;
  function keep() {
    try {
      localStorage.setItem(place(state.rater), JSON.stringify({ answers: state.answers, started: state.started }));
      localStorage.setItem(lastPlace, state.rater);
    } catch {
      notice("This browser keeps nothing after the page is closed: stay until the end, or save what is done.");
    }
  }
  function kept(key) {
    try { return localStorage.getItem(key); } catch { return null; }
  }

  function notice(text) {
    at("notice").textContent = text;
    at("notice").hidden = !text;
  }
  function show(id) {
    for (const name of ["welcome", "trial", "done"]) at(name).hidden = name !== id;
    window.scrollTo(0, 0);
  }

  function begin(rater) {
    if (study.raters.length && !study.raters.includes(rater)) return notice(`"${rater}" is not a name of this study.`);
    notice("");
    state.rater = rater;
    state.screens = screensOf(rater);
    const found = JSON.parse(kept(place(rater)) || "null") || {};
    state.answers = (found.answers || []).slice(0, state.screens.length);
    state.started = found.started || new Date().toISOString();
    const open = state.screens.findIndex((_, number) => !complete(state.answers[number]));
    keep();
    if (open < 0) finish(); else turnTo(open);
  }

  const complete = (answer) => Boolean(answer) && study.questions.every((name) => answer[name]);
  const answer = () => (state.answers[state.now] ||= { seconds: 0 });

  function turnTo(number) {
    state.now = number;
    state.since = performance.now();
    const screen = state.screens[number];
    at("reference").src = `media/${screen.reference}.png`;
    left.src = `media/${screen.left}.mp4`;
    right.src = `media/${screen.right}.mp4`;
    at("count").textContent = `Pair ${number + 1} of ${state.screens.length}`;
    at("bar").max = state.screens.length;
    at("bar").value = state.answers.filter(complete).length;
    at("back").disabled = number === 0;
    at("next").textContent = number + 1 === state.screens.length ? "Finish" : "Next pair";
    for (const input of document.querySelectorAll("#questions input")) input.checked = answer()[input.name] === input.value;
    show("trial");
    if (document.activeElement) document.activeElement.blur();
    mark();
    ahead(number + 1);
  }

  // The question that the arrow keys answer: the first open one, or that with the focus.
  function current() {
    const inside = document.activeElement && document.activeElement.closest("fieldset");
    const sets = [...document.querySelectorAll("fieldset")];
    return inside || sets.find((set) => !answer()[set.dataset.question]) || sets[sets.length - 1];
  }
  function mark() {
    for (const set of document.querySelectorAll("fieldset")) set.classList.toggle("now", set === current());
    at("next").disabled = !complete(answer());
  }
  function choose(name, side) {
    answer()[name] = side;
    for (const input of document.querySelectorAll(`input[name=${name}]`)) input.checked = input.value === side;
    // after a click the arrow keys go on with the next open question; who came by Tab stays where they are
    const focused = document.activeElement;
    if (focused && focused.matches("input:not(:focus-visible)")) focused.blur();
    spent();
    keep();
    mark();
  }
  function spent() {
    const now = performance.now();
    if (!document.hidden) answer().seconds = Math.round(10 * (answer().seconds + (now - state.since) / 1000)) / 10;
    state.since = now;
  }

  function next() {
    if (!complete(answer())) return;
    spent();
    keep();
    if (state.now + 1 < state.screens.length) turnTo(state.now + 1); else finish();
  }
  function back() {
    if (state.now > 0) { spent(); keep(); turnTo(state.now - 1); }
  }
  function finish() {
    left.pause();
    right.pause();
    show("done");
    at("save").focus();
  }

  function save() {
    const whole = [];
    for (const [number, screen] of state.screens.entries()) {
      if (!complete(state.answers[number])) break;
      const { seconds, ...chosen } = state.answers[number];
      whole.push({ trial: screen.trial, left: screen.left, right: screen.right, ...chosen, seconds });
    }
    const { format, kind, id } = study;
    const saved = { format, kind, study: id, rater: state.rater, started: state.started, saved: new Date().toISOString(), answers: whole };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(saved, null, 1)], { type: "application/json" }));
    link.download = `answers_${state.rater}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    at("saved").textContent = `${link.download}: ${whole.length} of ${state.screens.length} pairs.`;
  }

  // Both clips run together and start over together.
  const both = (act) => [left, right].forEach(act);
  function play() {
    both((clip) => clip.play().catch(() => {}));
  }
  function restart() {
    both((clip) => { clip.currentTime = 0; });
    play();
  }
  both((clip) => {
    clip.addEventListener("loadeddata", () => { if (left.readyState > 1 && right.readyState > 1) restart(); });
    clip.addEventListener("ended", () => { if (left.ended && right.ended) restart(); });
    clip.addEventListener("error", () => notice("A clip cannot be shown. Was the whole folder unpacked, and does this browser play H.264 (MP4)?"));
  });
  function ahead(number) {
    const screen = state.screens[number];
    if (!screen) return;
    for (const clip of [screen.left, screen.right]) {
      const video = document.createElement("video");
      video.preload = "auto";
      video.src = `media/${clip}.mp4`;
    }
  }

  at("begin").addEventListener("submit", (event) => {
    event.preventDefault();
    const rater = at("rater").value.trim().toLowerCase();
    if (/^[a-z0-9][a-z0-9_.-]{0,39}$/.test(rater)) begin(rater);
    else notice("The name may have small letters, digits, dots, hyphens and underscores, the first a letter or digit.");
  });
  at("questions").addEventListener("submit", (event) => { event.preventDefault(); next(); });
  at("questions").addEventListener("change", (event) => choose(event.target.name, event.target.value));
  at("questions").addEventListener("focusin", mark);
  at("back").addEventListener("click", back);
  at("again").addEventListener("click", () => turnTo(state.screens.length - 1));
  at("save").addEventListener("click", save);
  at("save-early").addEventListener("click", save);
  document.addEventListener("visibilitychange", () => {
    if (at("trial").hidden) return;
    if (document.hidden) { // the time until now counts, that in the background does not
      answer().seconds = Math.round(10 * (answer().seconds + (performance.now() - state.since) / 1000)) / 10;
      keep();
    }
    state.since = performance.now();
  });
  document.addEventListener("keydown", (event) => {
    if (at("trial").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    const onButton = document.activeElement && document.activeElement.tagName === "BUTTON";
    const acts = {
      ArrowLeft: () => choose(current().dataset.question, "left"),
      ArrowRight: () => choose(current().dataset.question, "right"),
      Enter: onButton ? null : next,
      Backspace: back,
      " ": onButton ? null : () => (left.paused ? play() : both((clip) => clip.pause())),
      r: restart,
      R: restart,
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  at("rater").value = kept(lastPlace) || "";
  show("welcome");
})();
