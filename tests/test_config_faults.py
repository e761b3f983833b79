"""Whatever is wrong with an option, or between options, is named with its place and the way out, all at once."""

from __future__ import annotations

import pytest

from mail2sms import carriers
from tests.config_cases import found, whole

TYPES = ", ".join(carriers.types())

A, B = "a" * 64, "b" * 64  # as hashes
# fmt: off
FIELDS: list[tuple[str, list[str]]] = [
    ("domian: x.example", ['1:1 unknown option "domian" -> did you mean "domain"?']),
    ("listen:\n  smtp:\n    adress: 127.0.0.1:25\n    requre_auth: yes",
     ['2:3 missing option "listen.smtp.address"',
     '3:5 unknown option "listen.smtp.adress" -> did you mean "address"?',
     '4:5 unknown option "listen.smtp.requre_auth"']),
    ('senders: [{form: "*@acme.example", network: 127.0.0.1}]',
     ['1:11 missing option "senders.from"',
     '1:12 unknown option "senders.form" -> did you mean "from"?']),
    ("carriers: {sim: {type: simulated, delya: 1s}}",
     ['1:35 unknown option "carriers.sim.delya" -> did you mean "delay"?']),
    ("carriers: {sim: {type: simulated, delay: 1}}",
     ['1:42 expected a duration such as 30s, 15m, 12h or 90d, got "1" -> add a unit']),
    ("carriers: {sim: {type: simulatd}}", [f'1:24 unknown carrier type "simulatd" -> one of: {TYPES}']),
    ("carriers: {sim: {type: _base}}", [f'1:24 unknown carrier type "_base" -> one of: {TYPES}']),
    ('carriers: {sim: {type: "../x"}}', [f'1:24 unknown carrier type "../x" -> one of: {TYPES}']),
    ("carriers: {sim: simulated}", ['1:17 expected a section, got "simulated"']),
    ("carriers: {sim: {delay: 1s}}", ['1:12 missing option "carriers.sim.type"']),
    ('carriers: {"a/b": {type: simulated}}',
     ['1:12 "a/b" cannot be a name here -> small letters, digits, dots, - and _']),
    ("countries: [FR, NO, UK]", ['1:21 "UK" is not a two-letter country code -> write GB']),
    ("countries: fr", ['1:12 "fr" is not a two-letter country code -> write FR']),
    ("countries: [~]", ['1:13 "~" is not a two-letter country code -> such as FR']),
    ("country: France", ['1:10 "France" is not a two-letter country code -> such as FR']),
    ("validity: 90", ['1:11 expected a duration such as 30s, 15m, 12h or 90d, got "90" -> add a unit']),
    ("limits: {size: 5}", ['1:16 expected a size such as 500kB or 10MB, got "5" -> add a unit']),
    ("limits: {per_ip: ten}", ['1:18 expected a whole number, got "ten"']),
    ("limits: {per_ip: 0}", ["1:18 expected a number from 1 to 100000, got 0"]),
    ("limits: {per_ip: [1]}", ["1:18 expected a whole number, got a list"]),
    ("limits: 5", ['1:9 expected a section, got "5"']),
    ("routes: any", ['1:9 expected a list, got "any"']),
    ("users: {a@acme.example: {name: {x: y}}}", ["1:32 expected one text, not a list or a section"]),
    ("max_parts: 256", ["1:12 expected a number from 1 to 255, got 256"]),
    ("carriers: {sim: {type: simulated, price: {FR: 0.045}}}",
     ['1:47 expected an amount such as 0.045 EUR, got "0.045" -> add the currency']),
    ('carriers: {sim: {type: simulated, price: {FR: "0,045 EUR", UK: 1 EUR, any: 1 EUX}}}',
     ['1:47 expected an amount such as 0.045 EUR, got "0,045 EUR" -> write 0.045 EUR',
      '1:60 "UK" is not a two-letter country code -> write GB',
      '1:76 "EUX" is not a currency -> its code in ISO 4217, such as EUR']),
    ("carriers: {sim: {type: simulated, price: 0.045 EUR}}", ['1:42 expected a section, got "0.045 EUR"']),
    ("mode: Live", ['1:7 expected simulate, trial or live, got "Live" -> did you mean "live"?']),
    ("language: fre", ['1:11 expected en, fr, it or de, got "fre" -> did you mean "fr"?']),
    ("timezone: Paris", ['1:11 "Paris" is not a time zone -> such as Europe/Paris']),
    ("listen: {smtp: {address: 127.0.0.1:25, tls: legacy}}",
     ['1:45 expected off, offered, required or implicit, got "legacy"']),
    ("listen: {devices: {address: 127.0.0.1:25, tls: offered}}",
     ['1:48 expected off, legacy or legacy-implicit, got "offered" -> did you mean "off"?']),
    ("listen: {lmtp: {address: 127.0.0.1:24, login: optional}}", ['1:40 unknown option "listen.lmtp.login"']),
    ("listen: {lmtp: {address: /run/x}}", ['1:26 expected host:port, got "/run/x" -> for example 127.0.0.1:2525']),
    ("listen: {lmtp: {address: unix:x}}",
     ['1:26 expected unix: and an absolute path, got "unix:x" -> such as unix:/run/mail2sms-lmtp/socket']),
    ("listen: {smtp: {address: unix:/run/x}}",
     ['1:26 expected host:port, got "unix:/run/x" -> for example 127.0.0.1:2525']),
    ("listen: {smtp: {address: 127.0.0.1:25, proxy: lb.example}}",
     ['1:47 expected an IP address or network, got "lb.example" -> such as 10.1.0.0/24']),
    ("domain: localhost", ['1:9 "localhost" is not a domain name -> such as sms.acme.example']),
    ("database: sqlite:///mail2sms.db",
     ["1:11 the path of the SQLite database must be absolute -> four slashes: "
     "sqlite:////var/lib/mail2sms/mail2sms.db"]),
    ("database: mysql://db/x",
     ["1:11 expected the URL of a SQLite or PostgreSQL database -> "
     "sqlite:////var/lib/mail2sms/mail2sms.db or postgresql://mail2sms@host/mail2sms"]),
    ("users: {a@acme.example: {number: 04 39 98 12}}",
     ['1:34 "04 39 98 12" is not a phone number in FR -> it has 8 digits; a mobile number there has 10']),
    ("users: {marie: {}}", ['1:9 "marie" is not an email address -> such as marie@acme.example']),
    ("users: {a@acme.example: {password: hunter2}}",
     ['1:36 a user\'s password stands here as its argon2id hash -> a text that starts with '
     '"$argon2id$"']),
    ('teams: {"112": {}}', ['1:9 "112" would be read as a phone number -> a team\'s name has a letter']),
    ("teams: {x: {phones: [01 23 45 67 89]}}",
     ['1:22 "01 23 45 67 89" is not a mobile number in FR, so it cannot get SMS']),
    ("quotas: {user: 500}", ['1:16 expected a limit, got "500" -> add a window, such as /day']),
    ("quotas: {total: [5/day, 5 sms/day]}",
     ['1:17 expected a limit, got "5 sms/day" -> such as 500/day, 800 parts/day or 60 EUR/day']),
    ("quotas: {number: [5/day, 9/day]}",
     ['1:18 two limits for the same: 5/day and 9/day -> leave one out']),
    ("quotas: {country: 5/day}", ['1:19 expected a section, got "5/day"']),
    ("quotas: {country: {UK: 5/day}}", ['1:20 "UK" is not a two-letter country code -> write GB']),
    ("quotas: {cost: 60/day}", ["1:16 60/day is no amount of money -> such as 60 EUR/day"]),
    ("quotas: {cost: 60 EURO/day}",
     ['1:16 expected an amount such as 0.045 EUR, got "60 EURO"']),
    ("quotas: {detect: {sequential: 20}}",
     ['1:31 expected a rate such as 20/s, 6/hour or 200/day, got "20" -> add a unit']),
    ("carriers: {sim: {type: simulated, rate: 20}}",
     ['1:41 expected a rate such as 20/s, 6/hour or 200/day, got "20" -> add a unit']),
    ("carriers: {sim: {type: simulated, rate: 0/s}}",
     ['1:41 "0/s" would let nothing through -> at least 1, such as 1/day']),
    ("carriers: {sim: {type: simulated, sender_rate: 1/s}}",
     ['1:48 expected a rate for each sender number, got "1/s" -> {any: 1/s}']),
    ("carriers: {sim: {type: simulated, sender_rate: {+33: 1/s}}}",
     ['1:49 expected a sender number, got "+33" -> such as any, "+18005550100", 12345 or ACME']),
    ("carriers: {sim: {type: simulated, sender_rate: {any: 1/week}}}",
     ['1:54 expected a rate such as 20/s, 6/hour or 200/day, got "1/week"']),
    ("quotas: {detect: {unusual: 1}}", ["1:28 expected a number from 2 to 1000, got 1"]),
    ("quotas: {detect: {new_country: yes}}", ['1:32 expected a whole number, got "yes"']),
    ("quotas: {detect: {volume: 9}}", ['1:19 unknown option "quotas.detect.volume"']),
    ("users: {a@a.example: {keys: secret}}",
     ['1:29 a key for addresses stands here as its hash -> the verb key makes one']),
    ("quotas: {users: 5/day}", ['1:10 unknown option "quotas.users" -> did you mean "user"?']),
    ("users: {a@acme.example: {quota: 9/week}}",
     ['1:33 expected a limit, got "9/week" -> such as 500/day, 800 parts/day or 60 EUR/day']),
    ("teams: {x: {quota: 9/s}}",
     ['1:20 expected a limit, got "9/s" -> such as 500/day, 800 parts/day or 60 EUR/day']),
    ("sender_ids: {default: ACME Holding}",
     ['1:23 "ACME Holding" has 12 characters; a sender name has at most 11 -> did you mean "ACME '
     'Holdin"?']),
    ("sender_ids: {UK: ACME}", ['1:14 "UK" is not a two-letter country code -> write GB']),
    ('sender_ids: {FR: "A/B"}',
     ['1:18 "A/B" cannot be a sender: phones may not show / -> did you mean "AB"?']),
    ("registrations: [{sender_id: ACME, country: SG, since: May}]",
     ['1:55 expected a day such as 2026-05-12, got "May"']),
    ("registrations: [{sender_id: ACME, country: SG, state: done}]",
     ['1:55 expected registered, pending or refused, got "done"']),
    ("destinations: {IT: {names: maybe}}", ['1:28 expected yes, replaced or no, got "maybe"']),
    ("routes: [{to: any, share: {sim: 1.5}}]", ['1:33 expected a whole number, got "1.5"']),
    ("routes: [{to: any, from: acme, via: sim}]",
     ['1:26 expected an address or "*@" and a domain, got "acme" -> such as "*@acme.example"']),
    ("routes: [{to: any, sender_ids: Reception Desk, via: sim}]",
     ['1:32 "Reception Desk" has 14 characters; a sender name has at most 11 -> did you mean "Reception D"?']),
    ('routes: [{to: "33", via: sim}]', ['1:15 expected a prefix such as "+338", got "33"']),
    ("routes: [{via: sim}]", ['1:10 missing option "routes.to"']),
    ("template: strct", ['1:11 expected strict, simple, subject or the path of a file, got "strct"']),
    ("tls: {certificate: c.pem, key: /k.pem}", ['1:20 expected a path that starts with "/", got "c.pem"']),
    ("senders: [{from: acme.example, network: 127.0.0.1}]",
     ['1:18 expected an address or "*@" and a domain, got "acme.example" -> such as "*@acme.example"']),
    ('senders: [{from: "*", network: 10.1.0.300}]',
     ['1:32 expected an IP address or network, got "10.1.0.300" -> such as 10.1.0.0/24']),
    ('senders: [{from: "*@acme.example", network: 10.1.0.5/16}]',
     ["1:45 10.1.0.5/16 is an address of the network 10.1.0.0/16: which is meant? -> "
      "write 10.1.0.0/16, or 10.1.0.5 alone"]),
    ("relay: {smarthost: {address: 127.0.0.1}}",
     ['1:30 expected host:port, got "127.0.0.1" -> for example 127.0.0.1:2525']),
    ("listen: {web: {address: 8025, url: https://x.example}}",
     ['1:25 expected host:port, got "8025" -> for example 127.0.0.1:8025']),
    ("listen: {web: {address: localhost, url: https://x.example}}",
     ['1:25 expected host:port, got "localhost" -> for example 127.0.0.1:8025']),
    ("listen: {smtp: {address: 127.0.0.1:252525}}",
     ["1:26 the port 252525 is too high -> at most 65535"]),
    ('relay: {smarthost: {address: "127.0.0.1:25", login: sms}}',
     ["1:20 login and password belong together"]),
    ('relay: {smarthost: {address: "h:25", login: a, password: "env:P", tls: off}}',
     ["1:20 a password needs tls: starttls or on"]),
    ("relay: {hooks: [{on: replies, format: webhook}]}",
     ['1:17 missing option "relay.hooks.url"',
      '1:22 expected reply or failed, got "replies" -> did you mean "reply"?']),
    ('relay: {hooks: [{url: "https://chat.example/x", format: webhook, scret: x}]}',
     ['1:66 unknown option "relay.hooks.scret" -> did you mean "secret"?']),
    ('relay: {hooks: [{url: "https://chat.example/x", format: fax}]}',
     ['1:57 unknown hook format "fax" -> one of: mattermost, webhook']),
    ("api: {keys: [{name: a, key: 0123456789-0123456789-0, may: [red]}]}",
     ["1:29 an API key has at least 24 characters; this one has 23",
     '1:60 expected read or send, got "red" -> did you mean "read"?']),
]
CONSENT: list[tuple[str, list[str]]] = [
    ('opt_out: {words: [""]}', ['1:19 "" cannot be a keyword -> a word or a few, such as STOP']),
    ("opt_out: {words: [OUI, Start]}", ['1:24 "START" cannot be a word for STOP: it means START']),
    ("opt_out: {words: info}", ['1:18 "INFO" cannot be a word for STOP: it means HELP']),
    ("opt_out: {reply: perhaps}", ['1:18 expected yes or no, got "perhaps"']),
    ("opt_out: {scope: number}", ['1:18 expected sender_id or all, got "number"']),
    ("opt_out: {word: STOP}", ['1:11 unknown option "opt_out.word" -> did you mean "words"?']),
    ("carriers: {sim: {type: simulated, answers_keywords: x}}", ['1:53 expected yes or no, got "x"']),
    ('quiet_hours: {FR: "21-08"}',
     ['1:19 "21-08" is no quiet time -> such as "21:00-08:00", sunday, "saturday 18:00-24:00" or holidays; or usual']),
    ('quiet_hours: {UK: "21:00-08:00"}', ['1:15 "UK" is not a two-letter country code -> write GB']),
    ("quiet_hours: usual", ['1:14 expected a section, got "usual"']),
    ("quiet_for: alarms", ['1:12 expected marketing or all, got "alarms"']),
    ("users: {a@acme.example: {class: alarm}}", ['1:33 expected transactional or marketing, got "alarm"']),
    ("teams: {news: {class: market}}",
     ['1:23 expected transactional or marketing, got "market" -> did you mean "marketing"?']),
    ("api: {keys: [{name: a, key: 0123456789-0123456789-0123, may: send, class: news}]}",
     ['1:75 expected transactional, marketing or alarm, got "news"']),
]
NOT_YET: list[tuple[str, list[str]]] = [
    ("reply_pages: {expires: 14d}", ['1:1 "reply_pages" is not yet supported']),
    ("retention: {text: 6d, photos: 7d}", ['1:19 that is too short: emails may wait for days -> at least 7d']),
    ("retention: {text: 20d, photos: 30d}", ['1:19 that is too short: photos are kept for 30d -> at least 30d']),
    ("portal: {}", ['1:1 "portal" is not yet supported']),
]
TOGETHER: list[tuple[str, list[str]]] = [
    ("registrations: [{sender_id: ACME, country: SG, carrier: sin}]",
     ['1:57 there is no carrier "sin" -> did you mean "sim"?']),
    ("registrations: [{sender_id: ACME, country: SG, since: 2026-05-12, expires: 2026-05-11}]",
     ["1:76 it ends before it begins"]),
    ("sender_ids: {US: ACME}",
     ['1:18 phones in US take no SMS from a name such as "ACME": the sender must be a number -> '
     "add sender_ids.US: number"]),
    ("sender_ids: {IT: Marco}",
     ['1:18 "Marco" is a given name, which may not be a sender in IT -> choose another']),
    ("registrations: [{sender_id: ACME, country: FR, state: refused}]\nsender_ids: {FR: ACME}",
     ['2:18 "ACME" was refused as a sender in FR -> choose another']),
    ("sender_ids: {default: P0STE}\nprotected_names: [Poste]",
     ['1:23 "P0STE" looks like "Poste", which is protected -> registrations: [..] if it is yours']),
    ("users: {p@a.example: {sender_ids: [Marco]}}\ncountries: [IT]",
     ['1:36 "Marco" is a given name, which may not be a sender in IT -> choose another']),
    ("routes: [{to: any, via: sin}]", ['1:25 there is no carrier "sin" -> did you mean "sim"?']),
    ("routes: [{to: any, via: [sim, ovh]}]", ['1:31 there is no carrier "ovh"']),
    ("routes: [{to: any}]", ['1:10 a route has either "via", "share" or "refuse"']),
    ("routes: [{to: any, via: sim, refuse: no}]", ['1:10 a route has either "via", "share" or "refuse"']),
    ("routes: [{to: any, via: sim, share: {sim: 1}}]",
     ['1:10 a route has either "via", "share" or "refuse"']),
    ("routes: [{to: any, share: {sin: 1, sim: 2}}]",
     ['1:33 there is no carrier "sin" -> did you mean "sim"?']),
    ("routes: [{to: any, share: {sim: 0}}]", ["1:27 nothing would go by any of them"]),
    ("routes: [{to: any, via: chepest}]", ['1:25 there is no carrier "chepest" -> did you mean "cheapest"?']),
    ("routes: [{to: any, via: [sim, cheapest]}]",
     ['1:31 "cheapest" is all carriers, by price: it stands alone -> via: cheapest']),
    ("routes: [{to: any, via: cheapest}]",
     ["1:25 no carrier has a price for FR: none is the cheapest -> add price: to the carriers"]),
    ("carriers: {cheapest: {type: simulated}}\nroutes: [{to: any, via: cheapest}]",
     ['1:12 in routes, "cheapest" means whichever has the lowest price -> choose another name',
      "2:25 no carrier has a price for FR: none is the cheapest -> add price: to the carriers"]),
    ("routes: []", ["1:1 no routes: nothing could be sent -> [{to: any, via: [...]}]"]),
    ("carriers: {}\nroutes: [{to: any, refuse: not yet}]",
     ["1:1 no carriers: nothing could be sent -> {sim: {type: simulated}}"]),
    ("users: {p@a.example: {teams: [oncal]}}\nteams: {oncall: {}}",
     ['1:31 there is no team "oncal" -> did you mean "oncall"?']),
    ("teams: {oncall: {members: [mari@acme.example, MARIE@acme.example]}}",
     ['1:28 there is no user "mari@acme.example" -> did you mean "marie@acme.example"?']),
    ("users:\n  Paul@acme.example: {}\n  paul@acme.example: {}",
     ['3:3 "paul@acme.example" is the same address as "Paul@acme.example" on line 2 -> capitals '
     "make no difference"]),
    ("teams: {sms: {}}",
     ['1:9 "sms" is the template_mailbox: no team can have that name -> rename the team or '
     "template_mailbox"]),
    ("senders: []",
     ['1:1 no senders: nothing would be accepted -> [{from: "*@acme.example", network: 127.0.0.1}]']),
    ('senders: [{from: "*"}]',
     ["1:11 anyone could send paid SMS: a rule for everybody needs a proof -> add network: or "
     "proof: login"]),
    ('senders:\n- from: "*@acme.example"',
     ["2:3 a From address proves nothing: anyone can write one -> add network: or proof: login"]),
    *((f'senders: [{{from: "{pattern}", proof: dkim}}]',
       [f"1:18 anyone can own a domain that {pattern} matches, and prove it -> name the domain"])
      for pattern in ("*", "*@co.uk", "*@*.co.uk", "*@*acme.example", "*@acme*.example")),
    ('senders: [{from: "*@*.acme.example", proof: [login, dkim, dkmi]}]',
     ['1:59 expected login, certificate, key, dkim, spf, dmarc, arc, authentication_results or microsoft_results, '
      'got "dkmi" -> did you mean "dkim"?']),
    ('senders: [{from: "*@a.example", proof: authentication_results}]',
     ["1:40 whose results are believed? A rule like this needs network -> add network: 10.1.0.20",
      "1:40 anyone can write Authentication-Results; those of which server count? A rule like this needs authserv_id "
      "-> add authserv_id: mx.acme.example"]),
    ('senders: [{from: "*@a.example", proof: microsoft_results, network: "::1", authserv_id: x, sealers: a.example}]',
     ["1:88 no proof of this rule uses authserv_id", "1:100 no proof of this rule uses sealers"]),
    ('senders: [{from: "*", proof: certificate}]',
     ["1:30 whose certificates count? A rule like this needs certificates -> add certificates: [mx.acme.example]",
      "1:30 nobody is asked for a certificate -> add tls.client_ca: /etc/mail2sms/tls/ca.pem"]),
    ('senders: [{from: "*", proof: certificate, certificates: mx.a.example}]\n'
     "listen: {submission: {address: 127.0.0.1:587}}\ntls: {certificate: /c, key: /k, client_ca: /ca}",
     ["1:30 no listener takes certificates: it would have tls, and no required login "
      '-> add "tls: offered" to listen.smtp']),
    ('senders: [{from: "*@a.example", proof: arc, hops: 2}]',
     ["1:40 whose seals count? A rule like this needs sealers -> add sealers: [lists.acme.example]",
      "1:51 no proof of this rule uses hops"]),
    ('senders: [{from: "*@a.example", network: 127.0.0.1, teams: yes}]',
     ["1:60 as a team writes who has logged in -> add proof: login"]),
    (f"users:\n  a@a.example: {{keys: 'sha256:{A}'}}\n  b@a.example: {{keys: ['sha256:{B}', 'sha256:{A}']}}",
     ["3:99 this is the key of a@a.example too: it would not say who writes -> "
      "the verb key makes another for b@a.example"]),
    ('senders: [{from: "*", network: 0.0.0.0/0}]',
     ["1:32 0.0.0.0/0 is the whole internet: that proves nothing"]),
    ('senders: [{from: "*", network: [127.0.0.1, "::/0"]}]',
     ["1:44 ::/0 is the whole internet: that proves nothing"]),
    ('senders: [{from: "*", proof: login}]',
     ['1:30 nobody can log in: no listener has login and tls -> add listen.submission: {address: '
     '"0.0.0.0:587"}']),
    ("listen:\n  smtp: {address: 0.0.0.0:25, login: optional}",
     ['2:38 "login: optional" needs tls: no password is taken in clear -> tls: required']),
    ("relay: {hooks: [{url: ftp://chat.example, format: webhook}]}",
     ["1:23 expected a URL that starts with https:// or http://"]),
    *((f"listen: {{devices: {{address: '{address}'}}}}",
       ["1:29 old TLS and passwords in clear: only at a private address of this machine -> such as "
        "10.1.0.5:2525 or 127.0.0.1:2525"])
      for address in ("0.0.0.0:25", "[::]:25", "192.0.2.1:25", "8.8.8.8:25", "100.64.0.1:25", "172.32.0.1:25",
                      "printers.acme.example:25", "[2001:db8::1]:25")),
    ("listen: {devices: {address: 127.0.0.1:25, tls: legacy}}",
     ['1:48 "tls: legacy" needs a certificate -> add tls: {certificate: ..., key: ...}']),
    ("listen: {lmtp: {address: 127.0.0.1:25}}",
     ["1:26 port 25 is for SMTP: a mail server that speaks it would find LMTP there -> such as 127.0.0.1:2424"]),
    ("listen: {smtp: {address: 127.0.0.1:25, proxy: [10.0.0.1, 0.0.0.0/0]}}",
     ["1:58 0.0.0.0/0 is the whole internet: anyone could say who they are"]),
    ("listen: {smtp: {address: 127.0.0.1:25, tls: implicit}}",
     ['1:45 "tls: implicit" needs a certificate -> add tls: {certificate: ..., key: ...}']),
    ("listen:\n  smtp: {address: 0.0.0.0:25, tls: offered}",
     ['2:36 "tls: offered" needs a certificate -> add tls: {certificate: ..., key: ...}']),
    ("listen:\n  submission: {address: 0.0.0.0:587}",
     ['2:3 "tls: required" needs a certificate -> add tls: {certificate: ..., key: ...}']),
    ("listen: {smtp: {address: 127.0.0.1:25}, web: {address: 127.0.0.1:25, url: http://x}}",
     ["1:56 listen.smtp has this address already"]),
    ("mode: live",
     ['9:24 "mode: live" with a simulated carrier: its messages would reach no phone -> mode: '
     "simulate, or remove the carrier"]),
    ("carriers:\n  sim: {type: simulated, price: {FR: 0.045 EUR, US: 0.0083 USD}}\n"
     "  b: {type: simulated, price: {any: 0.08 USD, FR: 1 EUR}}",
     ["2:53 USD here and EUR in carriers.sim.price.FR on line 2: such costs do not add up -> "
      "write all prices in EUR",
      "3:37 USD here and EUR in carriers.sim.price.FR on line 2: such costs do not add up -> "
      "write all prices in EUR"]),
    ("quotas: {cost: 60 EUR/day}",
     ["1:16 60 EUR/day would count nothing: no carrier has prices in EUR -> add carriers.NAME.price"]),
    ("users: {a@acme.example: {quota: [9/day, 60 USD/day]}}\n"
     "carriers: {sim: {type: simulated, price: {any: 1 EUR}}}",
     ["1:33 60 USD/day would count nothing: no carrier has prices in USD -> write it in EUR"]),
    ("limits: {size: 20MB, bytes_in_flight: 10MB}",
     ["1:1 one mail of limits.size would not fit into limits.bytes_in_flight"]),
    ("api:\n  keys:\n  - {name: a, key: 0123456789-0123456789-0123456789, may: read}\n  - {name: "
    "a, key: 0123456789-0123456789-0123456789, may: [read, send]}",
     ['4:12 another key is named "a"',
     '4:20 this is the key of "a" too -> give each its own']),
]
WARNINGS: list[tuple[str, list[str]]] = [
    ("teams: {news: {class: marketing}}",
     ["1:23 marketing goes out at any hour -> add quiet_hours: {default: usual}"]),
    ("sender_ids: {}",
     ["7:18 people without a number would find no sender ID for FR: what they write would be refused -> "
      "add sender_ids: {default: ACME}, or give each a number in users"]),
    ("sender_ids: {default: number, FR: number, BE: ACME}\ncountries: [FR, BE, IT]\n"
     'senders: [{from: MARIE@acme.example, network: 10.0.0.1}, {from: ups@acme.example, network: 10.0.0.1}]',
     ["3:65 ups@acme.example would find no sender ID for FR, IT: what they write would be refused -> "
      "add sender_ids: {default: ACME}, or give each a number in users"]),
    ("sender_ids: {}\nlisten: {submission: {address: 127.0.0.1:587}}\ntls: {certificate: /a/c.pem, key: /a/key.pem}\n"
     'senders: [{from: "*@acme.example", proof: login}]\nteams: {a: {number: +33639980100, members: a@acme.example}}\n'
     "users: {a@acme.example: {password: file:/a}, b@acme.example: {password: file:/b}, c@acme.example: {}}",
     ["4:18 b@acme.example would find no sender ID for FR: what they write would be refused -> "
      "add sender_ids: {default: ACME}, or give each a number in users"]),
    ("mode: trial",
     ['1:7 "mode: trial" with simulated carriers alone: no message reaches a phone, not even a user\'s -> '
      "add a real carrier, or mode: simulate"]),
    ('users: {a@acme.example: {number: "+33149920101"}}',
     ["1:34 no mobile: it gets no SMS -> right where it is only to be shown as the sender"]),
    ("relay: {}",
     ["1:8 no smarthost: replies and refusals reach nobody by email -> "
      'add relay: {smarthost: {address: "127.0.0.1:25"}}']),
    ("listen: {}", ['1:9 no listener takes mail -> add listen.smtp: {address: "127.0.0.1:2525"}']),
    ('senders: [{from: "*@a.example", proof: login}]\nlisten: {submission: {address: 127.0.0.1:587}}\n'
     "tls: {certificate: /a/cert.pem, key: /a/key.pem}",
     ["1:40 nobody can log in: no user has a password -> add users.ADDRESS.password"]),
    ("listen: {smtp: {address: 127.0.0.1:25}, web: {address: 0.0.0.0:80, url: http://sms.acme.example}}",
     ["1:73 keys and texts travel in clear over the network -> "
      "put a proxy with TLS before it, and its https URL here"]),
    ('relay: {smarthost: {address: "h:25", login: a, password: b}}',
     ["1:58 a secret stands in this file -> credential:NAME, file:PATH or env:NAME keep it out"]),
    ("countries: [FR, BE, CH, AT]\nroutes: [{to: AT, via: b}, {to: CH, refuse: x}, {to: any, via: [sim, b]}]\n"
     "carriers: {sim: {type: simulated, price: {FR: 1 EUR}}, b: {type: simulated, price: {BE: 1 EUR}}}",
     ["3:42 no price for BE: what is sent there has no known cost -> any: prices all other countries",
      "3:84 no price for FR, AT: what is sent there has no known cost -> any: prices all other countries"]),
    ("database: postgresql://mail2sms:pw@db/mail2sms",
     ["1:11 a secret stands in this file -> credential:NAME, file:PATH or env:NAME keep it out"]),
    (f"users: {{a@acme.example: {{keys: 'sha256:{A}'}}}}",
     ["1:32 no rule of senders takes keys -> add proof: key"]),
    ('senders: [{from: "*@acme.example", proof: key}]',
     ["1:43 nobody that this rule is about has a key -> the verb key makes one"]),
    ("quotas: {detect: {unusual: 10}}",
     ["1:18 nobody is told of what waits: only the command line releases it -> add quotas.approvers"]),
    ("quotas: {country: {CH: 5/day, FR: 5/day}}",
     ["1:20 CH is not among countries: nothing is sent there"]),
    ("sender_ids: {default: ACME}\ncountries: [FR, US, CA]",
     ['1:23 phones in CA, US take no SMS from a name such as "ACME": the sender must be a number -> '
     "add sender_ids.CA: number"]),
    ("teams: {t: {sender_ids: Marco}}\ncountries: [FR, IT]",
     ['1:25 "Marco" is a given name, which may not be a sender in IT -> choose another']),
]
# fmt: on


@pytest.mark.parametrize(("snippet", "told"), FIELDS)
def test_an_option_that_cannot_be_read_is_named_with_its_place(snippet: str, told: list[str]) -> None:
    """With what was expected and, where it can be guessed, what was meant."""
    assert found(whole(snippet)) == told


def test_missing_sections_come_with_an_example() -> None:
    """An option that stands nowhere has no place; what to write is said instead."""
    told = found("language: fr\n")
    names = ("domain", "country", "mode", "database", "senders", "countries", "carriers", "routes")
    assert [line.partition(" -> ")[0] for line in told] == [f'0:0 missing option "{name}"' for name in names]
    assert all(" -> " in line for line in told)


@pytest.mark.parametrize(("snippet", "told"), NOT_YET)
def test_what_is_planned_is_refused_by_name(snippet: str, told: list[str]) -> None:
    """An option of the draft that does nothing yet is never silently ignored."""
    assert found(whole(snippet)) == told


@pytest.mark.parametrize(("snippet", "told"), TOGETHER + CONSENT)
def test_options_that_do_not_go_together_are_errors(snippet: str, told: list[str]) -> None:
    """A name must exist, and what would cost money or leak a password is refused."""
    assert found(whole(snippet)) == told


@pytest.mark.parametrize(("snippet", "told"), WARNINGS)
def test_what_is_allowed_and_probably_not_meant_is_a_warning(snippet: str, told: list[str]) -> None:
    """The daemon starts; whoever reads the check knows."""
    assert found(whole(snippet)) == []
    assert found(whole(snippet), "warning") == told


@pytest.mark.parametrize(
    "snippet",
    [
        "sender_ids: {FR: ACME}",
        "sender_ids: {FR: number, default: ACME}",
        "sender_ids: {}\nsenders: [{from: marie@acme.example, network: 10.0.0.1}]",
    ],
)
def test_everybody_who_may_write_has_a_sender_id(snippet: str) -> None:
    """By the country, by the default, by a number of their own: nothing is to be warned of."""
    assert found(whole(snippet), "warning") == []


def test_example_numbers_are_warned_of_where_sms_are_real() -> None:
    """A number of fiction in live mode was copied from the documentation."""
    text = whole("mode: live\nteams: {t: {number: +33639980100, phones: [+33639980200]}}")
    text += "\nquotas: {total: 5/day}"
    said = "this is an example number: no phone has it -> refused in mode: live"
    assert found(text, "warning") == [f"2:21 {said}", f"2:44 {said}", f"8:58 {said}"]
    assert not [line for line in found(text.replace("live", "trial"), "warning") if said in line]


def test_registrations_are_asked_for_where_sms_are_real() -> None:
    """Once for all countries that want one; what is on record is not asked for."""
    live = "mode: live\nsender_ids: {default: ACME, IT: Marina}\ncountries: [FR, SG, IE, IT]\n"
    text = whole(live + "registrations: [{sender_id: ACME, country: SG, state: pending}]")
    assert [line for line in found(text, "warning") if line.startswith("2:")] == [
        "2:23 the registration of ACME in SG is pending",
        "2:23 ACME must be registered in IE, and no registration is on record",
        "2:33 Marina is a given name too: IT wants a company's name",
    ]
    quiet = found(text.replace("live", "simulate"), "warning")
    assert not [line for line in quiet if "regist" in line]


def test_a_limit_for_all_is_missed_where_sms_are_real() -> None:
    """That of each user is not enough: a mailbox is stolen more easily than it is noticed."""
    said = "2:1 nothing limits what is sent in all: one stolen mailbox could spend without end"
    text = whole("mode: live\nquotas: {user: 5/day}")
    assert said in [line.partition(" -> ")[0] for line in found(text, "warning")]
    assert not [line for line in found(text.replace("user", "total"), "warning") if line.startswith("2:")]


def test_faults_of_one_section_do_not_hide_those_of_another() -> None:
    """One look at the report is enough to put the file right."""
    text = whole(
        "validity: 2\n"
        "quotas: {user: 5}\n"
        "routes: [{to: any, via: ovh}]\n"
        "limits: {size: 1MB, szie: 2MB, bytes_in_flight: 1kB}\n"
        "teams: {x: {members: nobody@acme.example}}\n"
        "language:\n"
    )
    assert [line.partition(":")[0] for line in found(text)] == ["1", "2", "3", "4", "4", "5", "6"]


@pytest.mark.parametrize(
    "prices",
    [
        "a: {type: simulated}, b: {type: simulated}",
        "a: {type: simulated, price: {any: 0.08 EUR}}, b: {type: simulated}",
        "a: {type: simulated, price: {FR: 0.045 EUR, BE: EUR 0.06}}, b: {type: simulated, price: {FR: 1 EUR}}",
    ],
)
def test_prices_that_leave_nothing_open(prices: str) -> None:
    """None at all, or one for each country that a route leads to by that carrier."""
    routes = "countries: [FR, BE]\nroutes: [{to: BE, via: a}, {to: any, via: [a, b]}]\n"
    text = whole(f"{routes}carriers: {{{prices}}}")
    assert (found(text), found(text, "warning")) == ([], [])
