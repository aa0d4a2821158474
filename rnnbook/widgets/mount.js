// A page without a kernel: the part of the widget model that a module needs, and the element it draws into.
const state = STATE;
const listeners = [];
const model = {
  get: (key) => state[key],
  set: (key, value) => {
    state[key] = value;
    listeners.filter(([name]) => name === `change:${key}`).forEach(([, callback]) => callback());
  },
  on: (name, callback) => listeners.push([name, callback]),
  off: (name, callback) => listeners.splice(0, listeners.length,
    ...listeners.filter(([n, c]) => n !== name || (callback && c !== callback))),
  save_changes: () => {},
};
// Outputs kept from different runs of a notebook may share an id: each script takes the first free element.
const el = document.querySelector(`[id="${ELEMENT_ID}"]:not([data-mounted])`);
el.dataset.mounted = "";
el.replaceChildren();
render({ model, el });
