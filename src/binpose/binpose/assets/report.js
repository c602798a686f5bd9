for (const stack of document.querySelectorAll(".stack")) {
  const slider = stack.querySelector("input");
  slider.addEventListener("input", () => {
    stack.style.setProperty("--cut", slider.value + "%");
    stack.style.setProperty("--divider", slider.value > 0 && slider.value < 100 ? 1 : 0);
  });
}

for (const viewer of document.querySelectorAll(".viewer")) {
  const plot = viewer.querySelector(".plot");
  const scenes = JSON.parse(viewer.querySelector("script").textContent);
  const tabs = [...viewer.querySelectorAll(".tabs button")];
  let shown = 0;
  const draw = () => {
    const hidden = { visible: false, showspikes: false };
    // The camera looks along +z with y down, so the first view is that of the picture, from a little aside.
    const layout = {
      margin: { l: 0, r: 0, t: 0, b: 0 }, uirevision: shown, paper_bgcolor: "rgba(0,0,0,0)",
      font: { color: "#e9ebef", family: "Inter, system-ui, sans-serif" },
      legend: { x: 0.01, y: 0.99, bgcolor: "rgba(0,0,0,0)", itemsizing: "constant" },
      hoverlabel: { align: "left" },
      scene: { aspectmode: "data", xaxis: hidden, yaxis: hidden, zaxis: hidden, dragmode: "orbit",
        camera: { up: { x: 0, y: -1, z: 0 }, eye: { x: 0.25, y: 0.55, z: -1.1 } } },
    };
    tabs.forEach((tab, index) => tab.setAttribute("aria-pressed", index === shown));
    Plotly.react(plot, scenes[shown], layout, { responsive: true, displaylogo: false, displayModeBar: false });
  };
  tabs.forEach((tab, index) => tab.addEventListener("click", () => { shown = index; draw(); }));
  draw();
}
