// The camera: which part of the city's box is on the screen, and how mouse, touch and keys move it.

const MAX_ZOOM = 60; // times the whole city
const KEY_STEP = 0.15; // of the screen

export class View {
  // World coordinates are steps of the box; y grows to the north. `changed` is called when the camera has moved.
  constructor(element, changed) {
    this.element = element;
    this.changed = changed;
    this.width = this.height = 1;
    this.aspect = 1; // box width / box height in metres
    this.span = 65535;
    this.scale = 0; // css pixels per step in x
    this.x = this.y = 32768; // centre of the screen
    this.pointers = new Map();
    this.listen();
    new ResizeObserver(() => this.resize()).observe(element);
  }

  fit(box, steps) {
    this.span = steps;
    this.aspect = (box[2] - box[0]) / (box[3] - box[1]);
    this.scale = 0;
    this.resize();
  }

  get scaleY() { return this.scale / this.aspect; }

  get least() { return Math.min(this.width / this.span, (this.height * this.aspect) / this.span); }

  resize() {
    const { width, height } = this.element.getBoundingClientRect();
    const whole = this.scale <= this.least * 1.001;
    this.width = Math.max(1, width);
    this.height = Math.max(1, height);
    if (whole) this.showAll(); else this.settle();
  }

  showAll() {
    this.scale = this.least;
    this.x = this.y = this.span / 2;
    this.settle();
  }

  settle() {
    this.scale = Math.min(Math.max(this.scale, this.least), this.least * MAX_ZOOM);
    this.x = Math.min(Math.max(this.x, 0), this.span);
    this.y = Math.min(Math.max(this.y, 0), this.span);
    this.changed();
  }

  toScreen(x, y) {
    return [this.width / 2 + (x - this.x) * this.scale, this.height / 2 - (y - this.y) * this.scaleY];
  }

  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y += dy / this.scaleY;
    this.settle();
  }

  zoom(factor, atX = this.width / 2, atY = this.height / 2) {
    const before = this.scale;
    this.scale = Math.min(Math.max(before * factor, this.least), this.least * MAX_ZOOM);
    const moved = 1 / before - 1 / this.scale;
    this.x += (atX - this.width / 2) * moved;
    this.y -= (atY - this.height / 2) * moved * this.aspect;
    this.settle();
  }

  listen() {
    const { element } = this;
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 20 : 1;
      this.zoom(Math.exp(-event.deltaY * lines * 0.0015), event.clientX, event.clientY);
    }, { passive: false });
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    });
    element.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"]) {
      element.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    }
    element.addEventListener("dblclick", (event) => this.zoom(2, event.clientX, event.clientY));
    element.addEventListener("keydown", (event) => this.press(event));
  }

  drag(event) {
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const now = [event.clientX, event.clientY];
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    const share = other ? 0.5 : 1; // two fingers: each moves the map by half
    this.pan((now[0] - last[0]) * share, (now[1] - last[1]) * share);
    if (other) {
      const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      this.zoom(apart(now) / apart(last), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    }
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const dx = this.width * KEY_STEP;
    const dy = this.height * KEY_STEP;
    const actions = {
      ArrowLeft: () => this.pan(dx, 0), ArrowRight: () => this.pan(-dx, 0),
      ArrowUp: () => this.pan(0, dy), ArrowDown: () => this.pan(0, -dy),
      "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.showAll(),
    };
    if (actions[event.key]) {
      event.preventDefault();
      actions[event.key]();
    }
  }
}
