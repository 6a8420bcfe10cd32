"use strict";
(() => {
  document.documentElement.classList.add("js");
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const all = (root, what) => [...root.querySelectorAll(what)];

  // Tables: a heading sorts by its column, best first, once more the other way; rows without a number stay below.
  function sortable(table) {
    const heads = all(table, "thead th");
    heads.forEach((head, place) => head.querySelector("button").addEventListener("click", () => {
      const better = head.querySelector("button").dataset.better;
      const first = better === "higher" ? "descending" : "ascending";
      const way = head.getAttribute("aria-sort") === first ? (first === "ascending" ? "descending" : "ascending") : first;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", way);
      const sign = way === "ascending" ? 1 : -1;
      const rows = all(table.tBodies[0], "tr").map((row) => {
        const cell = row.cells[place];
        const value = place === 0 ? cell.textContent.trim() : cell.dataset.value;
        return { row, value: place === 0 || value === "" ? value : Number(value) };
      });
      rows.sort((a, b) => {
        if (a.value === "" || b.value === "") return (a.value === "") - (b.value === "");
        return sign * (place === 0 ? a.value.localeCompare(b.value) : a.value - b.value);
      });
      table.tBodies[0].append(...rows.map(({ row }) => row));
    }));
  }

  // A wall: the video runs unseen, its parts are drawn into the tiles, so that all show the same frame.
  class Wall {
    constructor(article) {
      this.article = article;
      this.video = article.querySelector("video.sheet");
      const told = this.video.dataset;
      const has = (name) => Number(told[name]);
      Object.assign(this, { wide: has("wide"), high: has("high"), pitchX: has("pitchX"), pitchY: has("pitchY") });
      Object.assign(this, { columns: has("columns"), frames: has("frames"), step: has("step"), fps: has("fps") });
      this.tiles = all(article, ".tile canvas").map((canvas) => {
        const number = Number(canvas.closest(".tile").dataset.number);
        return { canvas, pen: canvas.getContext("2d"), x: (number % this.columns) * this.pitchX, y: Math.floor(number / this.columns) * this.pitchY };
      });
      this.range = article.querySelector(".transport input");
      this.said = article.querySelector(".transport output");
      this.button = article.querySelector(".toggle");
      this.cursors = all(article, "svg.plot").map((plot) => ({ line: plot.querySelector(".cursor"), told: plot.dataset }));
      this.visible = false;
      this.wanted = !calm;
      this.video.controls = false;
      this.listen();
    }
    listen() {
      this.video.addEventListener("loadeddata", () => this.draw());
      this.video.addEventListener("seeked", () => this.draw());
      this.video.addEventListener("error", () => { this.said.textContent = "this browser does not play H.264"; });
      this.button.addEventListener("click", () => { this.wanted = !this.wanted; this.run(); });
      this.range.addEventListener("input", () => this.seek(Number(this.range.value)));
      for (const button of all(this.article, ".step")) {
        button.addEventListener("click", () => this.seek(this.frame() + Number(button.dataset.by)));
      }
    }
    frame() {
      return Math.min(this.frames - 1, Math.floor(this.video.currentTime * this.fps + 1e-3));
    }
    seek(frame) {
      this.wanted = false;
      this.run();
      this.video.currentTime = (((frame % this.frames) + this.frames) % this.frames + 0.5) / this.fps;
    }
    run() {
      const on = this.wanted && this.visible;
      if (on && this.video.paused) this.video.play().then(() => this.follow(), () => {});
      if (!on && !this.video.paused) this.video.pause();
      this.button.innerHTML = this.wanted ? "&#10074;&#10074;" : "&#9654;";
      this.button.setAttribute("aria-label", `${this.wanted ? "Pause" : "Play"} ${this.article.dataset.name}`);
    }
    follow() {
      if (this.video.paused) return;
      this.draw();
      requestAnimationFrame(() => this.follow());
    }
    draw() {
      if (this.video.readyState < 2) return;
      for (const { canvas, pen, x, y } of this.tiles) {
        if (!canvas.parentElement.hidden) pen.drawImage(this.video, x, y, this.wide, this.high, 0, 0, this.wide, this.high);
      }
      const frame = this.frame(), own = frame * this.step;
      this.range.value = frame;
      this.said.textContent = `frame ${own}`;
      for (const { line, told } of this.cursors) {
        const x = Number(told.left) + (Number(told.wide) * Math.min(own, told.frames - 1)) / Math.max(told.frames - 1, 1);
        line.setAttribute("x1", x);
        line.setAttribute("x2", x);
      }
    }
  }

  function section(root) {
    const bar = root.querySelector(".bar"), list = root.querySelector(".cases");
    const walls = new Map(all(list, ".case").filter((one) => one.querySelector("video.sheet")).map((one) => [one, new Wall(one)]));
    const cases = all(list, ".case").map((article, place) => ({ article, place, scores: JSON.parse(article.dataset.scores) }));
    const fields = bar.elements;

    const watcher = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const wall = walls.get(target);
        wall.visible = isIntersecting;
        wall.run();
        wall.draw();
      }
    }, { rootMargin: "100px" });
    walls.forEach((_, article) => watcher.observe(article));

    function order() {
      const metric = fields.metric.value, method = fields.method.value, option = fields.metric.selectedOptions[0];
      const better = option ? option.dataset.better : "";
      const sign = (better === "higher" ? 1 : -1) * (fields.direction.value === "worst" ? 1 : -1);
      const value = (one) => (one.scores[method] || {})[metric];
      for (const one of cases) {
        const found = value(one);
        one.article.querySelector(".score").textContent = found === undefined ? "" : `${option.dataset.label} of ${method}: ${Number(found.toPrecision(4))}`;
      }
      const sorted = [...cases].sort((a, b) => {
        const x = value(a), y = value(b);
        if (x === undefined || y === undefined) return (x === undefined) - (y === undefined) || a.place - b.place;
        return sign * (x - y) || a.place - b.place;
      });
      list.append(...sorted.map(({ article }) => article));
    }
    function find() {
      const text = fields.find.value.trim().toLowerCase();
      for (const { article } of cases) article.hidden = !article.dataset.name.toLowerCase().includes(text);
      const shown = cases.filter(({ article }) => !article.hidden).length;
      fields.shown.textContent = `${shown} of ${cases.length} cases`;
    }
    function methods() {
      const hidden = new Set(all(root, ".methods input").filter((box) => !box.checked).map((box) => box.value));
      for (const one of all(root, "[data-method]")) one.toggleAttribute("hidden", hidden.has(one.dataset.method));
      walls.forEach((wall) => wall.draw());
    }
    let playing = !calm;
    function play() {
      fields.play.textContent = playing ? "Pause all" : "Play all";
      fields.play.setAttribute("aria-pressed", playing);
      walls.forEach((wall) => { wall.wanted = playing; wall.run(); });
    }
    for (const name of ["metric", "method", "direction"]) fields[name].addEventListener("change", order);
    fields.find.addEventListener("input", find);
    fields.size.addEventListener("change", () => root.style.setProperty("--tile", `${fields.size.value}px`));
    fields.speed.addEventListener("change", () => walls.forEach(({ video }) => { video.playbackRate = Number(fields.speed.value); }));
    fields.play.addEventListener("click", () => { playing = !playing; play(); });
    bar.addEventListener("submit", (event) => event.preventDefault());
    root.querySelector(".methods").addEventListener("change", methods);
    order();
    find();
    play();
  }

  all(document, "table.sortable").forEach(sortable);
  all(document, "section.run").forEach(section);
})();
