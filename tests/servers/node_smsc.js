// An SMSC by npm's `smpp`: takes submits, tells what it read of each, and sends a receipt and a reply for it.
// node node_smsc.js: prints its port, then one JSON line for each thing that it was told.
const smpp = require("smpp");
let next = 0;

function tell(what) {
  console.log(JSON.stringify(what));
}

function textOf(pdu) {
  const message = pdu.message_payload !== undefined ? pdu.message_payload : pdu.short_message;
  const inner = message.message !== undefined ? message.message : message;
  return Buffer.isBuffer(inner) ? inner.toString("latin1") : inner;
}

const server = smpp.createServer((session) => {
  session.on("error", () => {});
  for (const name of ["bind_transceiver", "bind_transmitter", "bind_receiver"]) {
    session.on(name, (pdu) => {
      tell({ bind: name, system_id: pdu.system_id, version: pdu.interface_version });
      const status = pdu.password === "s3cret" ? 0 : smpp.ESME_RINVPASWD;
      session.send(pdu.response({ command_status: status, system_id: "node" }));
    });
  }
  session.on("submit_sm", (pdu) => {
    next += 1;
    if (next === 1) {
      session.send(pdu.response({ command_status: smpp.ESME_RTHROTTLED }));
      tell({ throttled: true });
      return;
    }
    const id = next.toString(16).padStart(8, "0");
    const udh = pdu.short_message.udh ? pdu.short_message.udh.map((one) => one.toString("hex")) : [];
    tell({
      id, text: textOf(pdu), udh, from: [pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr],
      to: [pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr], coding: pdu.data_coding,
      validity: pdu.validity_period, sar: [pdu.sar_msg_ref_num, pdu.sar_total_segments, pdu.sar_segment_seqnum],
    });
    session.send(pdu.response({ message_id: id }));
    const number = parseInt(id, 16).toString().padStart(10, "0");
    session.deliver_sm({
      source_addr: pdu.destination_addr, destination_addr: pdu.source_addr, esm_class: 4,
      short_message: `id:${number} sub:001 dlvrd:001 submit date:2601020304 done date:2601020305 stat:DELIVRD err:000 text:`,
    }, (answer) => tell({ receipt: answer.command_status }));
    session.deliver_sm({
      source_addr_ton: 1, source_addr_npi: 1, source_addr: pdu.destination_addr, dest_addr_ton: 1, dest_addr_npi: 1,
      destination_addr: pdu.source_addr, data_coding: 8, short_message: { message: `Да 😀 ${next}` },
    }, (answer) => tell({ reply: answer.command_status }));
    if (next === 5) session.enquire_link({}, (answer) => tell({ enquired: answer.command_status }));
  });
  session.on("enquire_link", (pdu) => session.send(pdu.response()));
  session.on("unbind", (pdu) => {
    tell({ unbind: true });
    session.send(pdu.response());
    session.close();
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
