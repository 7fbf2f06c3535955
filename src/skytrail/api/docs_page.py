"""The page that shows the API's description: one file, no other server, nothing to build."""

from __future__ import annotations

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Skytrail API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { --ink: #1c2530; --soft: #5c6b7a; --line: #dde3ea; --paper: #fff; --mark: #0b62c4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #dfe6ee; --soft: #93a1b0; --line: #2c3845; --paper: #131a22; --mark: #6cb2ff; }
}
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  display: grid; grid-template-columns: 300px 1fr; height: 100vh; }
nav { border-right: 1px solid var(--line); overflow: auto; padding: 16px; }
main { overflow: auto; padding: 24px 32px; max-width: 1000px; }
h1 { font-size: 18px; margin: 0 0 12px; } h2 { font-size: 22px; margin: 0 0 4px; }
h3 { font-size: 12px; letter-spacing: .04em; text-transform: uppercase; color: var(--soft);
  margin: 18px 0 4px; }
input { width: 100%; padding: 7px 9px; border: 1px solid var(--line); border-radius: 6px;
  background: inherit; color: inherit; font: inherit; }
a { color: var(--mark); text-decoration: none; } a:hover, a:focus { text-decoration: underline; }
nav a { display: block; padding: 1px 0; overflow-wrap: anywhere; }
nav a[aria-current] { font-weight: 600; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { background: color-mix(in srgb, var(--line) 40%, transparent); padding: 12px;
  border-radius: 6px; overflow: auto; }
details { border-top: 1px solid var(--line); padding: 8px 0; }
summary { cursor: pointer; } summary b { display: inline-block; width: 4.6em; color: var(--mark); }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: 5px 12px 5px 0;
  border-top: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; } .soft { color: var(--soft); }
@media (max-width: 760px) { body { display: block; height: auto; } nav { border-right: 0; } }
</style></head><body>
<nav aria-label="Contents"><h1>Skytrail API</h1>
<input id="find" type="search" placeholder="Find a type or path" aria-label="Find a type or path">
<div id="list">Loading ...</div></nav>
<main id="page"><p class="soft">Choose a type on the left.</p></main>
<script>
"use strict";
const el = (name, attributes = {}, ...parts) => {
  const found = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
  found.append(...parts);
  return found;
};
const METHODS = ["get", "post", "put", "patch", "delete"];
let api = null;
const follow = (value) => {
  if (!value || !value.$ref) return value;
  return value.$ref.split("/").slice(1).reduce((here, key) => here[key], api);
};
const short = (ref) => ref.split("/").pop();
const kind = (schema) => {
  if (schema.$ref) return short(schema.$ref);
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.type === "array") return "list of " + kind(schema.items || {});
  for (const word of ["anyOf", "allOf"]) if (schema[word]) return schema[word].map(kind).join(" + ");
  return [].concat(schema.type || "any").join(" or ");
};
const entries = () => {
  const types = new Map(), calls = [];
  for (const [path, item] of Object.entries(api.paths)) {
    const match = /^\\/api\\/v1\\/([^/{]+)(\\/.*)?$/.exec(path);
    const tag = METHODS.map((m) => item[m]).find(Boolean).tags?.[0] || "";
    if (match && tag && tag !== "Actions") {
      if (!types.has(match[1])) types.set(match[1], { tag, paths: [] });
      types.get(match[1]).paths.push(path);
    } else if (match || tag === "Actions") calls.push(path);
  }
  return { types, calls };
};
const contents = (text) => {
  const { types, calls } = entries();
  const list = document.getElementById("list");
  list.replaceChildren();
  const wanted = text.toLowerCase(), groups = new Map();
  const add = (group, name, target) => {
    if (!name.toLowerCase().includes(wanted)) return;
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(el("a", { href: "#" + target }, name));
  };
  for (const path of calls) if (path.startsWith("/api/")) add("Calls", path, path);
  for (const [name, { tag }] of types) add(tag, name, name);
  for (const path of calls) if (!path.startsWith("/api/")) add("Compatible calls", path, path);
  for (const [group, links] of groups) list.append(el("h3", {}, group), ...links);
  if (!groups.size) list.append(el("p", { class: "soft" }, "Nothing is named so."));
  mark();
};
const operation = (path, method) => {
  const item = api.paths[path], found = item[method];
  const box = el("details", {}, el("summary", {}, el("b", {}, method.toUpperCase()),
    el("code", {}, path), " ", el("span", { class: "soft" }, found.summary || "")));
  const parameters = [...(item.parameters || []), ...(found.parameters || [])].map(follow);
  if (parameters.length) {
    const table = el("table", {}, el("tr", {}, el("th", {}, "parameter"), el("th", {}, "in"),
      el("th", {}, "means")));
    for (const each of parameters) table.append(el("tr", {}, el("td", {}, el("code", {}, each.name)),
      el("td", {}, each.in), el("td", {}, each.description || "")));
    box.append(table);
  }
  for (const [type, media] of Object.entries(found.requestBody?.content || {}))
    box.append(el("p", {}, "Body: ", el("code", {}, type), ", ", reference(media.schema)));
  const codes = Object.entries(found.responses).map(([code, reply]) =>
    code + " " + follow(reply).description);
  box.append(el("p", { class: "soft" }, codes.join("  |  ")));
  return box;
};
const reference = (schema) => schema.$ref
  ? el("a", { href: "#schema:" + short(schema.$ref) }, short(schema.$ref))
  : el("span", {}, kind(schema));
const fields = (schema) => {
  const table = el("table", {}, el("tr", {}, el("th", {}, "field"), el("th", {}, "kind"),
    el("th", {}, "means")));
  for (const [name, each] of Object.entries(schema.properties || {})) {
    const inner = each.$ref ? each : each.items?.$ref ? each.items : null;
    const cell = el("td", {}, each.type === "array" ? "list of " : "",
      inner ? reference(inner) : kind(each.type === "array" ? each.items || {} : each));
    const text = each.description || follow(inner || each).description || "";
    table.append(el("tr", {}, el("td", {}, el("code", {}, name)), cell, el("td", {}, text)));
  }
  return table;
};
const show = () => {
  const page = document.getElementById("page"), target = decodeURIComponent(location.hash.slice(1));
  const { types } = entries();
  page.replaceChildren();
  if (target.startsWith("schema:")) {
    const name = target.slice(7), schema = api.components.schemas[name];
    if (schema) page.append(el("h2", {}, name), el("p", {}, schema.description || ""), fields(schema));
  } else if (types.has(target)) {
    const paths = types.get(target).paths;
    const schema = follow(api.paths[`/api/v1/${target}`].post.requestBody.content["application/json"].schema);
    page.append(el("h2", {}, target), el("p", {}, schema.description || ""),
      el("p", {}, el("a", { href: `/api/v1/schemas/${target}` }, "JSON Schema")),
      el("h3", {}, "Calls"));
    for (const path of paths) for (const method of METHODS)
      if (api.paths[path][method]) page.append(operation(path, method));
    page.append(el("h3", {}, "Fields"), fields(schema));
  } else if (api.paths[target]) {
    page.append(el("h2", {}, el("code", {}, target)));
    for (const method of METHODS) if (api.paths[target][method]) {
      const box = operation(target, method);
      box.open = true;
      page.append(box);
      for (const media of Object.values(api.paths[target][method].requestBody?.content || {}))
        page.append(el("h3", {}, "Body"), fields(follow(media.schema)));
    }
  } else page.append(el("h2", {}, api.info.title), el("p", {}, api.info.description || ""),
    el("p", { class: "soft" }, `${types.size} types. Choose one on the left.`));
  page.scrollTop = 0;
  mark();
};
const mark = () => {
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === location.hash) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
};
fetch("/openapi.json").then((reply) => {
  if (!reply.ok) throw new Error(`the server answered ${reply.status}`);
  return reply.json();
}).then((document_) => {
  api = document_;
  contents("");
  show();
  document.getElementById("find").addEventListener("input", (e) => contents(e.target.value));
  addEventListener("hashchange", show);
}).catch((error) => {
  document.getElementById("list").textContent = `Cannot read /openapi.json: ${error.message}`;
});
</script></body></html>
"""
