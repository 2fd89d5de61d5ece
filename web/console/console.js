// The page: gets a ticket, listens to the operators' feed, keeps the figures, and says so when the connection is lost.

import { Cars, Roads } from "./city.js";
import { View } from "./view.js";

const TOKEN = "hexcab.token"; // in sessionStorage: gone with the tab
const LONGEST_WAIT_S = 8;
const SILENT_MS = 6000;

const byId = (id) => document.getElementById(id);
const numbers = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium", timeZone: "UTC" });

let roadsStale = true;
const view = new View(byId("map"), () => { roadsStale = true; });
const roads = new Roads(byId("roads"), view);
const cars = new Cars(byId("cars"), view);
let lastHeard = 0;
let failures = 0;

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

function askForToken(why) {
  notice("");
  byId("refused").textContent = why;
  byId("sign-in").hidden = false;
  byId("token").focus();
}

async function ticket() {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch("/v1/tickets", { method: "POST", headers });
  if (answer.ok) {
    const { ticket: value, scope } = await answer.json();
    if (scope === "ops" || scope === "view") return value;
    sessionStorage.removeItem(TOKEN);
    askForToken("This token is not an operator's.");
    return null;
  }
  if (answer.status === 401) {
    sessionStorage.removeItem(TOKEN);
    askForToken(token ? "This token is not valid here, or it has expired." : "");
    return null;
  }
  throw new Error(`tickets: ${answer.status}`);
}

async function loadRoads() {
  const answer = await fetch("/v1/map/roads");
  if (!answer.ok) throw new Error(`roads: ${answer.status}`);
  const map = await answer.json();
  view.fit(map.box, map.steps);
  roads.load(map);
  roadsStale = true;
}

async function connect() {
  try {
    if (!roads.layers.length) await loadRoads();
    const value = await ticket();
    if (value) listen(value);
  } catch {
    comeAgain();
  }
}

function listen(value) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/v1/ops/ws?ticket=${encodeURIComponent(value)}`);
  socket.binaryType = "arraybuffer";
  const silence = setInterval(() => {
    if (performance.now() - lastHeard > SILENT_MS) socket.close();
  }, 1000);
  lastHeard = performance.now();
  socket.onmessage = (event) => {
    lastHeard = performance.now();
    if (typeof event.data === "string") hear(JSON.parse(event.data));
    else {
      cars.take(event.data);
      cars.counts().forEach((count, status) => {
        const place = document.querySelector(`[data-count="${status}"]`);
        if (place) place.textContent = numbers.format(count);
      });
    }
  };
  let lost = false;
  socket.onclose = () => {
    clearInterval(silence);
    if (!lost) comeAgain();
    lost = true;
  };
}

function hear(message) {
  if (message.type === "hello") {
    failures = 0;
    notice("");
    byId("city").textContent = message.city;
    document.title = `hexcab - ${message.city}`;
    cars.everyMs = message.every_s * 1000;
    cars.rowBytes = message.row_bytes;
  } else if (message.type === "kpis") {
    byId("clock").textContent = `${clock.format(new Date(message.at))} UTC`;
    for (const place of document.querySelectorAll("[data-kpi]")) {
      place.textContent = shown(place.dataset.kpi, message[place.dataset.kpi]);
    }
  }
}

function shown(name, value) {
  if (value === null || value === undefined) return "\u2013";
  if (!name.endsWith("_s")) return numbers.format(value);
  const seconds = Math.round(value);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} min`;
}

async function comeAgain() {
  failures += 1;
  const wait = Math.min(LONGEST_WAIT_S, 2 ** Math.min(failures - 1, 5));
  for (let left = wait; left > 0; left -= 1) {
    notice(`The connection is lost. Trying again in ${left} s. What you see is not live.`);
    await new Promise((done) => { setTimeout(done, 1000); });
  }
  notice("The connection is lost. Trying again now.");
  connect();
}

function paint() {
  if (roadsStale) {
    roadsStale = false;
    roads.draw();
  }
  cars.draw();
  requestAnimationFrame(paint);
}

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, byId("token").value.trim());
  byId("token").value = "";
  byId("sign-in").hidden = true;
  connect();
});
byId("in").addEventListener("click", () => view.zoom(1.6));
byId("out").addEventListener("click", () => view.zoom(1 / 1.6));
byId("all").addEventListener("click", () => view.showAll());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { roadsStale = true; });

paint();
connect();
