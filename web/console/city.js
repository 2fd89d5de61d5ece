// Draws the city: its roads when the camera moves, its cars at every frame of the screen.

const WIDTHS = { motorway: 3, trunk: 2.8, primary: 2.4, secondary: 2, tertiary: 1.6 }; // css pixels; the rest is 1
const TONES = { motorway: 1, trunk: 1, primary: 1, secondary: 2, tertiary: 3 }; // the rest is 4
const JUMP = 0.06; // of the box: whoever moves farther within a frame is shown there at once

export class Roads {
  constructor(canvas, view) {
    this.canvas = canvas;
    this.view = view;
    this.layers = [];
  }

  // Lines are kept with y in steps of x, so that one scale serves both axes and a line is equally wide everywhere.
  load(map) {
    const { aspect } = this.view;
    this.layers = map.classes.map((name, at) => ({ name, path: pathOf(map.lines[at], aspect) })).reverse();
    this.layers.sort((a, b) => (TONES[b.name] ?? 4) - (TONES[a.name] ?? 4));
  }

  draw() {
    const { view } = this;
    const ratio = fitted(this.canvas, view);
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const style = getComputedStyle(document.documentElement);
    const closer = Math.min(4, Math.max(1, Math.sqrt(view.scale / view.least)));
    const scale = view.scale * ratio;
    const [left, top] = view.toScreen(0, 0);
    context.setTransform(scale, 0, 0, -scale, left * ratio, top * ratio);
    context.lineCap = context.lineJoin = "round";
    for (const { name, path } of this.layers) {
      context.lineWidth = ((WIDTHS[name] ?? 1) * closer) / view.scale;
      context.strokeStyle = style.getPropertyValue(`--road-${TONES[name] ?? 4}`);
      context.stroke(path);
    }
  }
}

function pathOf(lines, aspect) {
  const path = new Path2D();
  for (const line of lines) {
    let [x, y] = line;
    path.moveTo(x, y / aspect);
    for (let at = 2; at < line.length; at += 2) {
      x += line[at];
      y += line[at + 1];
      path.lineTo(x, y / aspect);
    }
  }
  return path;
}

function fitted(canvas, view) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(view.width * ratio);
  const height = Math.round(view.height * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  return ratio;
}

export class Cars {
  constructor(canvas, view) {
    this.canvas = canvas;
    this.view = view;
    this.before = this.now = new DataView(new ArrayBuffer(0));
    this.arrived = 0;
    this.everyMs = 1000;
    this.rowBytes = 6;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
  }

  take(buffer) {
    this.before = this.now;
    this.now = new DataView(buffer);
    const now = performance.now();
    const gap = now - this.arrived;
    this.arrived = now;
    if (gap < 3 * this.everyMs) this.gapMs = Math.max(gap, this.everyMs * 0.5);
    else this.gapMs = this.everyMs;
  }

  counts() {
    const counts = [0, 0, 0, 0];
    for (let at = 0; at < this.now.byteLength; at += this.rowBytes) counts[this.now.getUint8(at + 5)] += 1;
    return counts;
  }

  draw() {
    const { view, before, now } = this;
    const ratio = fitted(this.canvas, view);
    const context = this.canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, view.width, view.height);
    const style = getComputedStyle(document.documentElement);
    const colours = ["", "--idle", "--pickup", "--riding"].map((name) => name && style.getPropertyValue(name));
    const share = this.still.matches ? 1 : Math.min(1, (performance.now() - this.arrived) / (this.gapMs || 1));
    const size = Math.min(11, 6 * Math.sqrt(Math.sqrt(view.scale / view.least)));
    context.strokeStyle = style.getPropertyValue("--rim");
    context.lineWidth = 1;
    for (let at = 0; at < now.byteLength; at += this.rowBytes) {
      const status = now.getUint8(at + 5);
      if (!colours[status]) continue;
      let x = now.getUint16(at, true);
      let y = now.getUint16(at + 2, true);
      if (at < before.byteLength && before.getUint8(at + 5)) {
        const dx = x - before.getUint16(at, true);
        const dy = y - before.getUint16(at + 2, true);
        if (Math.hypot(dx, dy) < JUMP * view.span) {
          x -= dx * (1 - share);
          y -= dy * (1 - share);
        }
      }
      const [left, top] = view.toScreen(x, y);
      if (left < -20 || top < -20 || left > view.width + 20 || top > view.height + 20) continue;
      context.fillStyle = colours[status];
      arrow(context, left, top, (now.getUint8(at + 4) / 256) * 2 * Math.PI, size);
    }
  }
}

function arrow(context, x, y, turn, size) {
  const sin = Math.sin(turn);
  const cos = Math.cos(turn);
  const point = (ahead, right) => [x + (ahead * sin + right * cos) * size, y + (-ahead * cos + right * sin) * size];
  context.beginPath();
  context.moveTo(...point(1.35, 0));
  context.lineTo(...point(-1, 0.85));
  context.lineTo(...point(-0.55, 0));
  context.lineTo(...point(-1, -0.85));
  context.closePath();
  context.fill();
  context.stroke();
}
