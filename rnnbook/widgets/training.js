// Train a GRU4Rec in the page, in a worker where there is one, and see how far it is from the optimum.

/** work(ms) of a training in a worker; where the browser refuses one, in slices of the page's own time. */
function trainer(job) {
  let advance = null, worker = null, answered = false;
  const slice = (ms) => new Promise((done) => {
    setTimeout(() => { advance ??= engine().training(job); done(advance(Math.min(ms, 12))); });
  });
  try {
    const text = `const work = (${engine})().training; let advance;
      onmessage = ({ data }) => { if (data.job) advance = work(data.job); else postMessage(advance(data.ms)); };`;
    const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    worker = new Worker(address);
    URL.revokeObjectURL(address);
    worker.postMessage({ job });
  } catch { worker = null; }
  const ask = (ms) => new Promise((done, failed) => {
    worker.onmessage = ({ data }) => { answered = true; done(data); };
    worker.onerror = (event) => { // some browsers refuse a worker only after they have made it
      if (answered) { failed(event); return; }
      event.preventDefault();
      worker = null;
      done(slice(ms));
    };
    worker.postMessage({ ms });
  });
  let last = Promise.resolve(); // one request after another, however fast the reader clicks
  const work = (ms) => (last = last.then(() => (worker ? ask(ms) : slice(ms))));
  return { work, end: () => worker?.terminate() };
}

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const [spec, presets, choices, n_epochs] = ["spec", "presets", "choices", "n_epochs"].map((name) => model.get(name));
  const names = { world: "world", loss: "loss", sessions: "sessions", batch_size: "lanes",
    n_sample: "negatives", sample_alpha: "α of those", learning_rate: "learning rate",
    hidden_size: "units", bptt: "steps back", seed: "seed" };
  const keys = Object.keys(choices);
  let config = {}, run = null, running = false, told = "";
  let losses, recalls, bounds, sum, step, failed, finished, turn = 0, choosing = false, rested = 0, laidOut = false;

  function reset() {
    run?.end();
    run = null;
    running = false;
    [losses, recalls, bounds, step, failed, finished] = [[], [], null, 0, false, false];
    sum = { loss: 0, count: 0, at: 0 };
    draw();
  }
  function start() {
    run ??= trainer({ ...config, spec, first_order: config.world === "first order", valid: 300, n_epochs, logq: 1,
      bpr_max_regularization: 1 });
    return run;
  }
  function take({ events, done }) {
    for (const event of events) {
      if (event.bounds) bounds = event.bounds;
      else if (event.failed) failed = true;
      else if ("recall" in event) recalls.push(event);
      else {
        step = event.step;
        sum.loss += event.loss;
        sum.count += event.count;
        if (event.epoch - sum.at >= 0.05 || !losses.length) { // one kind of point: the mean since the last one
          losses.push([event.epoch, sum.loss / sum.count]);
          sum = { loss: 0, count: 0, at: event.epoch };
        }
      }
    }
    finished = done;
    running &&= !done;
    if (!running || performance.now() > rested) { // most of the time is for the training, also where drawing is slow
      const began = performance.now();
      draw();
      rested = performance.now() + Math.max(100, 4 * (performance.now() - began));
    }
    return !done;
  }
  async function play() {
    running = !running;
    draw();
    const mine = start(), now = ++turn;
    while (running && run === mine && turn === now) {
      const found = await mine.work(100);
      if (run !== mine || !take(found)) break;
    }
  }
  async function once() {
    running = false;
    const mine = start(), before = step;
    let more = true;
    while (run === mine && step === before && more) more = take(await mine.work(0));
  }
  function choose(changes) {
    choosing = true;
    Object.entries(changes).forEach(([key, value]) => model.set(key, value));
    choosing = false;
    model.save_changes();
    chosen();
  }
  function chosen() {
    if (choosing) return; // until all are set
    config = Object.fromEntries(keys.map((key) => [key, model.get(key)]));
    keys.forEach((key) => controls[key].show(config[key]));
    reset();
  }

  /** A list to choose from where the values are words, a slider where they are numbers. */
  function control(key) {
    const values = choices[key];
    if (typeof values[0] === "string") {
      const input = html("select", { onchange: () => choose({ [key]: input.value }) },
        ...values.map((value) => html("option", { value }, key === "loss" ? lossName(value) : value)));
      return { node: html("label", { class: "rb-slider" }, html("span", {}, names[key]), input),
        show: (value) => { input.value = value; } };
    }
    const { node, show } = slider({ label: names[key], min: 0, max: values.length - 1,
      format: (i) => whole(values[i]), oninput: (i) => choose({ [key]: values[i] }) });
    return { node, show: (value) => show(values.indexOf(value)) };
  }
  const controls = Object.fromEntries(keys.map((key) => [key, control(key)]));
  const button = (text, onclick) => html("button", { type: "button", onclick }, text);
  const [playing, single] = [roomy("Pause", play), button("One update", once)];
  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite" });
  const frames = ["loss", "recall"].map((name) => svg("svg", { role: "img", "aria-label": name }));
  const panels = frames.map((frame) => html("div", {}, frame));
  const lesson = html("p", { class: "rb-muted rb-lesson" });
  el.append(
    html("div", { class: "rb-presets", role: "group", "aria-label": "What to try" },
      ...presets.map((preset) => button(preset.name, () => choose(preset.config)))),
    lesson,
    html("div", { class: "rb-settings" }, ...Object.values(controls).map((control) => control.node)),
    html("div", { class: "rb-buttons" }, playing, single, button("Start again", reset),
      button("Copy as Python", async () => {
        told = await copied(python()) ? "The cell that repeats this is copied." : python();
        draw();
      })),
    html("div", { class: "rb-panels" }, ...panels), status);

  function python() {
    return `from rnnbook.gru4rec import GRU4RecConfig
from rnnbook.widgets.engine import fit_as_in_the_page
from rnnbook.worlds import SessionWorld

world = SessionWorld(n_items=${spec.n_items})${config.world === "first order" ? ".markov_control()" : ""}
config = GRU4RecConfig(hidden_size=${config.hidden_size}, loss="${config.loss}", hidden_dropout=0,
                       batch_size=${config.batch_size}, n_sample=${config.n_sample}, sample_alpha=${config.sample_alpha},
                       learning_rate=${config.learning_rate}, bptt=${config.bptt}, n_epochs=${n_epochs})
model = fit_as_in_the_page(world.sample(${config.sessions}, seed=100), config, seed=${config.seed},
                           valid=world.sample(300, seed=2), patience=${n_epochs})
model.history`;
  }

  function draw() {
    if (!laidOut) return;
    playing.textContent = running ? "Pause" : step ? "Go on" : "Train";
    playing.disabled = single.disabled = finished;
    const preset = presets.find((each) => Object.entries(each.config)
      .every(([key, value]) => config[key] === value));
    lesson.textContent = preset ? preset.text : "Settings of your own.";
    const until = Math.max(1, Math.ceil((recalls.at(-1)?.epoch ?? losses.at(-1)?.[0] ?? 0) - 1e-9));
    const x = { domain: [0, until], label: "epochs" }, values = losses.map(([, loss]) => loss);
    const [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
    const margin = 0.05 * Math.max(high - low, 1);
    chart(frames[0], { height: 210, x,
      y: { domain: [low - margin, high + margin], label: "loss, mean since the last point" }, lines: [{ points: losses, style: 0 }] });
    const top = bounds ? Math.ceil(10 * bounds.best.recall + 0.5) / 10 : 1;
    chart(frames[1], { height: 210, x, y: { domain: [0, top], label: "Recall@20 on 300 other sessions" },
      lines: [{ points: recalls.map(({ epoch, recall }) => [epoch, recall]), style: 1, strong: true }],
      rules: bounds ? [[bounds.best, "optimum"], [bounds.last, "last click"]].map(
        ([{ recall }, label]) => ({ y: recall, label })) : [] });
    const now = recalls.at(-1), room = bounds && bounds.best.recall - bounds.last.recall;
    const share = now && Math.round(100 * (now.recall - bounds.last.recall) / room);
    const closed = now && room > 0.005 ? `, ${String(share).replace("-", "−")} % of the gap` : "";
    status.textContent = told || (failed ? `Update ${step}: the loss is no number any more. Start again.`
      : !step ? "Nothing is trained yet."
      : `Update ${step}, loss ${number(losses.at(-1)[1])}. ${now ? `Recall@20 ${now.recall.toFixed(3)} after `
        + `${number(now.epoch, 2)} epochs${closed}; last click ${bounds.last.recall.toFixed(3)}, optimum `
        + `${bounds.best.recall.toFixed(3)}.` : ""}`);
    told = "";
  }

  const unfollow = follow(model, el, [], () => { laidOut = true; draw(); });
  keys.forEach((key) => model.on(`change:${key}`, chosen));
  chosen();
  return () => {
    run?.end();
    unfollow();
    keys.forEach((key) => model.off(`change:${key}`, chosen));
  };
}

export default { render };
