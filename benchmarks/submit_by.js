// As submit_by.py, by node-smpp: node submit_by.js PORT WINDOW SECONDS
const smpp = require("smpp");
const [port, window, seconds] = process.argv.slice(2).map(Number);
let fromMs = 0, untilMs = 0;
let answers = 0, beganMs = 0, cpu = null;

function answered() {
  const now = performance.now();
  if (!untilMs) [fromMs, untilMs] = [now + 500, now + 500 + seconds * 1000];
  if (now < fromMs) return true;
  if (!beganMs) [beganMs, cpu] = [now, process.cpuUsage()];
  answers += 1;
  return now < untilMs;
}

function tell() {
  const used = process.cpuUsage(cpu);
  const cpu_s = (used.user + used.system) / 1e6;
  console.log(JSON.stringify({ answers, elapsed_s: (performance.now() - beganMs) / 1000, cpu_s }));
  process.exit(0);
}

const session = smpp.connect({ url: `smpp://127.0.0.1:${port}`, auto_enquire_link_period: 10000 }, () => {
  session.bind_transceiver({ system_id: "bench", password: "bench" }, () => {
    const submit = () => session.submit_sm({
      source_addr_ton: 5, source_addr: "ACME", dest_addr_ton: 1, dest_addr_npi: 1, destination_addr: "33639981234",
      short_message: "Your table is booked for 20:00 tomorrow.", registered_delivery: 1,
    }, () => (answered() ? submit() : tell()));
    for (let n = 0; n < window; n += 1) submit();
  });
});
