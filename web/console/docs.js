// The API's documentation, made from /openapi.json in the browser.

const make = (tag, text, parent) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
};

function resolved(schema, all, depth = 0) {
  if (!schema || depth > 8) return "any";
  if (schema.$ref) return resolved(all[schema.$ref.split("/").pop()], all, depth + 1);
  const options = schema.anyOf ?? schema.oneOf;
  if (options) {
    const kinds = options.map((option) => resolved(option, all, depth + 1));
    return kinds.every((kind) => typeof kind === "string") ? kinds.join(" | ") : kinds.find((kind) => typeof kind !== "string");
  }
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.const !== undefined) return String(schema.const);
  if (schema.type === "array") return [resolved(schema.items, all, depth + 1)];
  if (schema.properties) {
    const required = schema.required ?? [];
    return Object.fromEntries(Object.entries(schema.properties).map(([name, inner]) => [
      required.includes(name) ? name : `${name}?`, resolved(inner, all, depth + 1),
    ]));
  }
  const range = ["minimum", "maximum", "maxLength"].filter((key) => key in schema).map((key) => `${key} ${schema[key]}`);
  return [schema.type ?? "any", ...range].join(", ");
}

function shape(title, content, all, parent) {
  const schema = content && Object.values(content)[0]?.schema;
  if (!schema) return;
  make("h3", title, parent);
  make("pre", JSON.stringify(resolved(schema, all), null, 2), parent);
}

function call(path, method, operation, all) {
  const details = make("details");
  details.id = operation.operationId;
  const summary = make("summary", undefined, details);
  make("b", method.toUpperCase(), summary);
  make("code", path, summary);
  make("span", operation.description ?? operation.summary, summary);
  const body = make("div", undefined, details);
  body.className = "call";
  make("p", operation.security ? "With a bearer token." : "No token needed.", body);
  if (operation.parameters?.length) {
    make("h3", "Parameters", body);
    const list = make("ul", undefined, body);
    for (const parameter of operation.parameters) {
      const item = make("li", undefined, list);
      make("code", parameter.name, item);
      item.append(` ${parameter.in}, ${resolved(parameter.schema, all)}${parameter.required ? "" : ", optional"}`);
    }
  }
  shape("Body", operation.requestBody?.content, all, body);
  for (const [status, response] of Object.entries(operation.responses)) {
    if (status < 400) shape(`Answer ${status}`, response.content, all, body);
  }
  const problems = Object.entries(operation.responses).filter(([status]) => status >= 400);
  if (problems.length) {
    make("h3", "Problems", body);
    make("p", problems.map(([status, { description }]) => `${status} ${description}`).join(", "), body);
  }
  return details;
}

const answer = await fetch("/openapi.json");
const schema = await answer.json();
document.getElementById("about").textContent = schema.info.description;
const main = document.getElementById("calls");
const groups = new Map();
for (const [path, methods] of Object.entries(schema.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const tag = operation.tags?.[0] ?? "other";
    if (!groups.has(tag)) {
      const section = make("section", undefined, main);
      make("h2", tag, section);
      groups.set(tag, section);
    }
    groups.get(tag).append(call(path, method, operation, schema.components.schemas));
  }
}
