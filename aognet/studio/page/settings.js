// A form for settings that are described by a JSON schema. Only what was changed is asked for.

import { make } from "./dom.js";
import { has, t } from "./locale.js";

const title = (key) => has(`setting.${key}`) ? t(`setting.${key}`) : key.replaceAll("_", " ").replace(/^./, (x) => x.toUpperCase());

export class Settings {
  constructor(place, changed) { Object.assign(this, { place, changed, values: {}, count: 0 }); }

  // `values`: what was changed already.
  show(schema, values = {}) {
    this.definitions = schema?.$defs ?? {};
    this.values = structuredClone(values);
    this.place.replaceChildren(...this.fields(schema ?? {}, []));
    return this.place.childElementCount > 0;
  }

  fields(schema, path) {
    return Object.entries(schema.properties ?? {}).map(([key, one]) => this.field(key, this.resolved(one), [...path, key])).filter(Boolean);
  }

  // A schema without references, and without the null of what may be left out.
  resolved(schema) {
    const name = schema.$ref?.split("/").at(-1), target = name ? { ...this.definitions[name], ...schema } : schema;
    const choices = (target.anyOf ?? []).filter((one) => one.type !== "null");
    if (choices.length !== 1) return target;
    return { ...this.resolved(choices[0]), default: target.default, description: target.description, optional: true };
  }

  field(key, schema, path) {
    if (schema.properties) {
      const inner = this.fields(schema, path);
      return inner.length ? make("fieldset", {}, make("legend", { textContent: title(key) }), ...inner) : null;
    }
    const input = this.input(schema, path);
    if (!input) return null;
    const id = input.id = `setting-${++this.count}`, help = schema.description;
    if (help) input.setAttribute("aria-describedby", `${id}-help`);
    const about = help ? make("p", { id: `${id}-help`, className: "help", textContent: help }) : null;
    if (input.type === "checkbox") return make("div", { className: "field" }, make("label", { for: id, className: "check" }, input, make("span", { textContent: title(key) })), about);
    return make("div", { className: "field" }, make("label", { for: id, textContent: title(key) }), input, about);
  }

  input(schema, path) {
    const start = schema.default ?? null, set = (value) => this.set(path, value, start);
    const changed = path.reduce((values, key) => values?.[key], this.values), now = changed === undefined ? start : changed;
    const choices = schema.enum ?? ("const" in schema ? [schema.const] : null);
    if (choices) {
      const options = choices.map((value, i) => make("option", { value: i, textContent: value, selected: value === now }));
      return make("select", { onchange: (event) => set(choices[event.target.value]) }, ...options);
    }
    if (schema.type === "boolean") return make("input", { type: "checkbox", checked: !!now, onchange: (event) => set(event.target.checked) });
    if (schema.type === "integer" || schema.type === "number") {
      const limits = { min: schema.minimum ?? schema.exclusiveMinimum ?? "", max: schema.maximum ?? schema.exclusiveMaximum ?? "" };
      const step = schema.type === "integer" ? 1 : "any";
      const read = ({ target }) => target.value === "" ? set(schema.optional ? null : start) : target.validity.valid && set(+target.value);
      return make("input", { type: "number", value: now ?? "", step, ...limits, oninput: read });
    }
    if (schema.type === "string") return make("input", { type: "text", value: now ?? "", oninput: ({ target }) => set(target.value === "" && schema.optional ? null : target.value) });
    return null;  // lists and the like are for those who write YAML
  }

  set(path, value, start) {
    const inner = [...path], last = inner.pop(), chain = [this.values];
    for (const key of inner) chain.push(chain.at(-1)[key] ??= {});
    if (value === start) delete chain.at(-1)[last];
    else chain.at(-1)[last] = value;
    for (let i = inner.length; i > 0 && !Object.keys(chain[i]).length; i--) delete chain[i - 1][inner[i - 1]];
    this.changed();
  }
}
