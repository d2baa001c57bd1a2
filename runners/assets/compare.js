"use strict";
// Draws the figures of a comparison from the data beside them. Lines, bands and their smoothing stand in the data: what
// is chosen here is only which of them is shown. Names come from runs, so Plotly never reads them as its own markup.
(() => {
  const DASHES = ["solid", "dash", "dot"];
  const COLOURS = 7;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 640px)");
  const coarse = window.matchMedia("(pointer: coarse)");

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = (place) => css(`--series-${(place % COLOURS) + 1}`);
  const dash = (place) => DASHES[Math.floor(place / COLOURS) % DASHES.length];
  const escaped = (words) => words.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const lines = (words, most) => words.match(new RegExp(`.{1,${most}}(?:\\s|$)|.{1,${most}}`, "g")) || [words];
  const broken = (words, most = 38) => lines(words, most).map(escaped).join("<br>");

  function faded(place, share) {
    const hex = colour(place).slice(1);
    const parts = [0, 2, 4].map((start) => parseInt(hex.slice(start, start + 2), 16));
    return `rgba(${parts.join(",")},${share})`;
  }

  const plots = [...document.querySelectorAll(".plot")].map((element) => ({
    element,
    card: element.closest(".card"),
    data: JSON.parse(document.getElementById(`data-${element.id.slice("plot-".length)}`).textContent),
    hidden: new Set(),
  }));

  function choice(plot) {
    const axes = Object.keys(plot.data.axes);
    const value = (name, otherwise) => plot.card.querySelector(`.${name}`)?.value ?? otherwise;
    const runs = plot.card.querySelector(".runs");
    return { axis: value("axis", axes[0]), level: Number(value("level", plot.data.drawn)), runs: !runs || runs.checked };
  }

  function lineTraces(plot, { axis, level, runs }) {
    const shown = plot.data.series.filter((series, index) => !plot.hidden.has(index) && series.bands[axis]);
    const bands = shown.filter((series) => series.runs.length !== 1).map((series) => bandTrace(series, axis, level));
    const thin = runs ? shown.map((series) => runsTrace(series, axis, level)) : [];
    return [...bands, ...thin, ...shown.map((series) => centreTrace(series, axis, level))];
  }

  function bandTrace(series, axis, level) {
    const [x, , low, high] = series.bands[axis][level];
    return {
      x: [...x, ...[...x].reverse()], y: [...high, ...[...low].reverse()], mode: "lines", fill: "toself",
      fillcolor: faded(series.place, 0.18), line: { width: 0 }, hoverinfo: "skip",
    };
  }

  // All runs of a group are one line with gaps: many lines would be slow.
  function runsTrace(series, axis, level) {
    const alone = series.runs.length === 1;
    const x = [], y = [], text = [];
    for (const run of series.runs) {
      const values = run.y[alone ? 0 : level];
      x.push(...run.x[axis], null);
      y.push(...values, null);
      text.push(...values.map(() => broken(run.name)), "");
    }
    return {
      x, y, text,
      mode: series.runs.some((run) => run.x[axis].length === 1) ? "lines+markers" : "lines", // a point alone is no line
      line: { width: 1, color: faded(series.place, 0.38) }, marker: { size: 5, color: faded(series.place, 0.6) },
      hovertemplate: `%{text}<br>%{y:,.5~r} at %{x:,.6~r}<extra></extra>`,
    };
  }

  function centreTrace(series, axis, level) {
    const [x, y, low, high] = series.bands[axis][level];
    const alone = series.runs.length === 1 || low.every((value, index) => value === high[index]);
    const between = alone ? "" : " (%{customdata[0]:,.5~r} to %{customdata[1]:,.5~r})";
    return {
      x, y, mode: x.length > 1 ? "lines" : "markers", meta: [broken(series.label)],
      customdata: low.map((value, index) => [value, high[index]]),
      line: { width: 2.2, color: colour(series.place), dash: dash(series.place) },
      marker: { color: colour(series.place) },
      hovertemplate: `<b>%{meta[0]}</b><br>%{y:,.5~r}${between} at %{x:,.6~r}<extra></extra>`,
    };
  }

  function dotTraces(data) {
    return data.rows.flatMap((row, index) => {
      const [low, high] = row.interval;
      return [
        { x: [low, high], y: [index, index], mode: "lines", hoverinfo: "skip",
          line: { width: 9, color: faded(row.place, 0.35) } },
        { x: [row.value], y: [index], mode: "markers", marker: { size: 10, color: colour(row.place) },
          meta: [broken(row.label)], customdata: [[low, high]],
          hovertemplate: "<b>%{meta[0]}</b><br>%{x:,.5~r} (%{customdata[0]:,.5~r} to %{customdata[1]:,.5~r})<extra></extra>" },
      ];
    });
  }

  function axis(title) {
    return {
      title: { text: title, font: { size: 12 }, standoff: 8 }, gridcolor: css("--grid"), zeroline: false,
      linecolor: css("--grid"), automargin: true, separatethousands: true, exponentformat: "SI",
    };
  }

  function layout(extra) {
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
      font: { family: "system-ui, sans-serif", size: 12, color: css("--muted") },
      margin: { l: 48, r: 14, t: 26, b: 42 }, dragmode: coarse.matches ? false : "zoom",
      hoverlabel: { bgcolor: css("--paper"), bordercolor: css("--grid"), font: { color: css("--ink"), size: 12 },
        align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--muted"), activecolor: css("--ink") },
      ...extra,
    };
  }

  function lineLayout(plot, { axis: name }) {
    const longest = Math.max(...plot.data.series.flatMap((series) => (series.bands[name] ?? [[[0]]])[0][0].slice(-1)), 0);
    const x = { ...axis(plot.data.axes[name]), tickformat: longest >= 10000 ? "~s" : undefined };
    const y = { ...axis(plot.data.y), ...(plot.data.range ? { range: plot.data.range } : {}) };
    return layout({ height: narrow.matches ? 300 : 380, xaxis: x, yaxis: y, uirevision: name });
  }

  // Each name stands above its interval, so that long names take nothing of the width.
  function dotLayout(data, width) {
    const letters = Math.max(20, Math.floor((width - 30) / 7));
    const names = data.rows.map((row, index) => ({
      text: broken(row.label, letters), align: "left", x: 0, xref: "paper", xanchor: "left", y: index,
      yanchor: "bottom", yshift: 7, showarrow: false, font: { color: css("--ink"), size: 12 },
    }));
    const middle = { type: "line", x0: data.middle, x1: data.middle, y0: 0, y1: 1, yref: "paper",
      line: { color: css("--muted"), width: 1, dash: "dash" } };
    const ends = data.rows.flatMap((row) => row.interval);
    const least = Math.min(...ends), most = Math.max(...ends), margin = 0.03 * (most - least) || 1;
    const x = { ...axis(data.x), range: data.range ?? [least - margin, most + margin] };
    const rows = { visible: false, range: [data.rows.length - 0.5, -0.9], fixedrange: true };
    const tallest = Math.max(...data.rows.map((row) => lines(row.label, letters).length));
    return layout({ height: 90 + (30 + 16 * tallest) * data.rows.length, xaxis: x, yaxis: rows, annotations: names,
      shapes: data.middle === null ? [] : [middle], margin: { l: 14, r: 14, t: 26, b: 42 } });
  }

  const config = {
    responsive: true, displaylogo: false,
    modeBarButtons: [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]],
  };

  function draw(plot) {
    const curves = plot.data.kind === "lines";
    const chosen = curves ? choice(plot) : null;
    const looks = curves ? lineLayout(plot, chosen) : dotLayout(plot.data, plot.element.clientWidth);
    plot.element.style.height = `${looks.height}px`; // Plotly asks the element when the window changes its size
    Plotly.react(plot.element, curves ? lineTraces(plot, chosen) : dotTraces(plot.data), looks, config);
  }

  const drawAll = () => plots.forEach(draw);

  // The x axis is chosen for all figures that know it, so that they can be read together.
  function chooseAxis(value) {
    for (const plot of plots) {
      const select = plot.card.querySelector(".axis");
      if (select && [...select.options].some((option) => option.value === value)) {
        select.value = value;
        draw(plot);
      }
    }
  }

  for (const plot of plots) {
    plot.card.querySelector(".axis")?.addEventListener("change", (event) => chooseAxis(event.target.value));
    plot.card.querySelector(".level")?.addEventListener("change", () => draw(plot));
    plot.card.querySelector(".runs")?.addEventListener("change", () => draw(plot));
    for (const key of plot.card.querySelectorAll(".key")) {
      key.addEventListener("click", () => {
        const place = Number(key.dataset.place);
        plot.hidden.has(place) ? plot.hidden.delete(place) : plot.hidden.add(place);
        key.setAttribute("aria-pressed", String(!plot.hidden.has(place)));
        draw(plot);
      });
    }
  }
  for (const button of document.querySelectorAll(".play-all")) {
    button.addEventListener("click", () => {
      for (const film of button.closest(".card").querySelectorAll("video")) {
        film.currentTime = 0;
        film.play();
      }
    });
  }
  dark.addEventListener("change", drawAll);
  narrow.addEventListener("change", drawAll);
  drawAll();
})();
