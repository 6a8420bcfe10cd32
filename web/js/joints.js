// The joints on the canvas: what was placed, what does not exist, and where the rest stands. No drawing here.
// Places are fractions of the picture. The rules for the rest are those of animatex_core/pose/manual.py, so that the
// canvas shows what the run will give.

const ROUNDS = 400;
const REACH = [-1, 2];

export class Joints {
  // spec: what the node's definition says of the figure (names, parents, parts, template).
  constructor(spec) {
    this.spec = spec;
    this.base = null; // a figure that the last run found (mask, detector); null: the template
    this.past = [];
    this.future = [];
    this.clear();
  }

  clear() {
    this.placed = new Map();
    this.absent = new Set();
    this.unread = null; // a text that cannot be read, kept until something is edited
  }

  get text() {
    if (this.unread !== null) return this.unread;
    if (!this.placed.size && !this.absent.size) return "";
    const joints = {};
    for (const [index, [x, y]] of [...this.placed].sort((a, b) => a[0] - b[0])) {
      joints[this.spec.joints[index]] = [rounded(x), rounded(y)];
    }
    return JSON.stringify({ version: this.spec.version, joints, absent: [...this.absent] });
  }

  // A text that cannot be read is kept as it is, for the node to refuse it and say why.
  set text(text) {
    this.clear();
    if (!text) return;
    try {
      const document = JSON.parse(text);
      for (const [name, place] of Object.entries(document.joints ?? {})) {
        const index = this.spec.joints.indexOf(name);
        if (index < 0 || !place?.every(Number.isFinite)) throw new Error(`joint ${name}`);
        this.placed.set(index, [...place]);
      }
      this.absent = new Set(document.absent ?? []);
      const strange = [...this.absent].find((name) => !this.knows(name));
      if (strange !== undefined) throw new Error(`part ${strange}`);
    } catch (error) {
      console.warn("Animate-X: the joints of this node cannot be read", error);
      this.clear();
      this.unread = text;
    }
  }

  knows(name) {
    return this.spec.joints.includes(name) || name in this.spec.parts;
  }

  covered(name) {
    const own = this.spec.joints.indexOf(name);
    return own >= 0 ? [own] : (this.spec.parts[name] ?? []);
  }

  isAbsent(index) {
    return [...this.absent].some((name) => this.covered(name).includes(index));
  }

  // Call before a change; the same state twice is kept once.
  remember() {
    const now = this.text;
    if (this.past.at(-1) !== now) this.past.push(now);
    this.future = [];
    this.unread = null;
  }

  undo() {
    return this.step(this.past, this.future);
  }

  redo() {
    return this.step(this.future, this.past);
  }

  step(from, to) {
    const now = this.text;
    while (from.length) {
      const before = from.pop();
      if (before === now) continue;
      to.push(now);
      this.text = before;
      return true;
    }
    return false;
  }

  toggle(name) {
    if (!this.absent.delete(name)) this.absent.add(name);
  }

  // A single joint: back again when anything took it away.
  toggleJoint(index) {
    const names = [...this.absent].filter((name) => this.covered(name).includes(index));
    if (names.length) names.forEach((name) => this.absent.delete(name));
    else this.absent.add(this.spec.joints[index]);
  }

  place(index, x, y) {
    this.placed.set(index, [clamp(x), clamp(y)]);
  }

  // The joint and all that hangs from it.
  branch(index) {
    const found = [index];
    for (let i = 0; i < found.length; i++) {
      this.spec.parents.forEach((parent, child) => parent === found[i] && found.push(child));
    }
    return found;
  }

  // All 20 joints for a picture of this size: {x, y} fractions and kind "placed", "guessed" or "absent".
  figure(width, height) {
    const active = new Map([...this.placed].filter(([index]) => !this.isAbsent(index)));
    const places = new Map([...active].map(([index, [x, y]]) => [index, [x * width, y * height]]));
    const template = fitted(this.template(width, height), places);
    const base = template.map((point, i) => (this.base?.[i] ? [this.base[i][0] * width, this.base[i][1] * height] : point));
    const points = this.followed(base, places);
    return points.map(([x, y], i) => {
      const kept = this.placed.get(i);
      const kind = this.isAbsent(i) ? "absent" : active.has(i) ? "placed" : "guessed";
      return kind === "absent" && kept ? { x: kept[0], y: kept[1], kind } : { x: x / width, y: y / height, kind };
    });
  }

  // The standing figure in the middle of the picture, in pixels.
  template(width, height) {
    const { template, aspect, room } = this.spec;
    const tall = Math.min(room.height * height, (0.9 * width) / aspect);
    const wide = tall * aspect;
    const top = height / 2 + (tall * (room.top - 0.5)) / room.height;
    return template.map(([x, y]) => [width / 2 + (x - 0.5) * wide, top + y * tall]);
  }

  // Joints that were not placed: their displacements solve Laplace's equation on the skeleton, bone by bone.
  followed(base, places) {
    const moved = base.map((point, i) => (places.has(i) ? minus(places.get(i), point) : [0, 0]));
    if (!places.size) return base;
    const beside = this.spec.joints.map((_, i) => this.neighbours(i));
    for (let round = 0; round < ROUNDS; round++) {
      for (let i = 0; i < moved.length; i++) {
        if (!places.has(i)) moved[i] = mean(beside[i].map((j) => moved[j]));
      }
    }
    return base.map(([x, y], i) => [x + moved[i][0], y + moved[i][1]]);
  }

  neighbours(index) {
    const found = this.spec.parents.flatMap((parent, child) => (parent === index ? [child] : []));
    return this.spec.parents[index] >= 0 ? [...found, this.spec.parents[index]] : found;
  }
}

// The figure scaled and shifted to the placed joints; only shifted for fewer than two distinct ones.
function fitted(figure, places) {
  if (!places.size) return figure;
  const chosen = [...places.keys()].map((i) => figure[i]);
  const wanted = [...places.values()];
  const [mine, theirs] = [mean(chosen), mean(wanted)];
  const [small, large] = [spread(chosen, mine), spread(wanted, theirs)];
  const scale = Math.min(small, large) > 1e-6 ? large / small : 1;
  return figure.map(([x, y]) => [(x - mine[0]) * scale + theirs[0], (y - mine[1]) * scale + theirs[1]]);
}

const mean = (points) => [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
const spread = (points, middle) => Math.hypot(...points.flatMap((point) => minus(point, middle)));
const minus = (a, b) => [a[0] - b[0], a[1] - b[1]];
const clamp = (value) => Math.min(Math.max(value, REACH[0]), REACH[1]);
const rounded = (value) => Math.round(value * 1e4) / 1e4;
