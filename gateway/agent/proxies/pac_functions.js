// The functions that a proxy auto-configuration file may call, behaving as in the browsers.
//
// The whole is one function of a JSON text {"addresses": {name: [address…]}, "own": [address…], "now": ms|null}.
// It answers with a function that tells which name a look-up wanted that is not among the addresses: the
// caller looks it up and starts again. A script cannot hide that, even if it catches the exception.
(function (givenText) {
  "use strict";
  const given = JSON.parse(givenText);
  const addresses = new Map(Object.entries(given.addresses));
  const wanted = [];
  const DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
  const MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

  function lookUp(host) {
    const name = String(host).toLowerCase();
    if (addressNumber(name) !== null || isAddress6(name)) return [name];
    const found = addresses.get(name);
    if (found !== undefined) return found;
    wanted.push(name);
    throw new Error("the address of " + name + " is not known yet");
  }

  function addressNumber(text) {
    const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
    if (parts === null) return null;
    let number = 0;
    for (let i = 1; i <= 4; i++) {
      if (Number(parts[i]) > 255) return null;
      number = number * 256 + Number(parts[i]);
    }
    return number;
  }

  function isAddress6(text) {
    return text.indexOf(":") >= 0 && address6(text) !== null;
  }

  // Eight numbers of 16 bits, or null.
  function address6(text) {
    const halves = text.split("::");
    if (halves.length > 2 || text.length > 45) return null;
    const groups = halves.map((half) => (half === "" ? [] : half.split(":")));
    const last = groups[groups.length - 1];
    if (last.length > 0 && last[last.length - 1].indexOf(".") >= 0) {
      const four = addressNumber(last.pop());
      if (four === null) return null;
      last.push(Math.floor(four / 65536).toString(16), (four % 65536).toString(16));
    }
    const all = groups[0].concat(groups.length === 2 ? groups[1] : []);
    if (!all.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return null;
    if (groups.length === 1 ? all.length !== 8 : all.length > 7) return null;
    const zeros = new Array(8 - all.length).fill("0");
    return groups[0].concat(zeros, groups.length === 2 ? groups[1] : []).map((group) => parseInt(group, 16));
  }

  function inPrefix(address, prefix) {
    const parts = String(prefix).split("/");
    if (parts.length !== 2 || !/^\d{1,3}$/.test(parts[1])) return false;
    const six = parts[0].indexOf(":") >= 0;
    const length = Number(parts[1]);
    if (six !== address.indexOf(":") >= 0 || length > (six ? 128 : 32)) return false;
    const [one, other] = six
      ? [address6(address), address6(parts[0])]
      : [address, parts[0]].map((text) => {
          const number = addressNumber(text);
          return number === null ? null : [Math.floor(number / 65536), number % 65536];
        });
    if (one === null || other === null) return false;
    for (let i = 0, left = length; left > 0; i++, left -= 16) {
      const shift = Math.max(0, 16 - left);
      if (one[i] >> shift !== other[i] >> shift) return false;
    }
    return true;
  }

  // `*` and `?` over the whole text. By hand, not as a regular expression: those can take exponential time.
  function glob(text, pattern) {
    let t = 0, p = 0, star = -1, resume = 0;
    while (t < text.length) {
      if (p < pattern.length && pattern[p] === "*") {
        star = p++;
        resume = t;
      } else if (p < pattern.length && (pattern[p] === "?" || pattern[p] === text[t])) {
        p++;
        t++;
      } else if (star >= 0) {
        p = star + 1;
        t = ++resume;
      } else {
        return false;
      }
    }
    while (p < pattern.length && pattern[p] === "*") p++;
    return p === pattern.length;
  }

  // The arguments without a last "GMT", and the time in the zone that it chooses.
  function timed(list) {
    const rest = Array.from(list);
    const gmt = rest.length > 0 && rest[rest.length - 1] === "GMT";
    if (gmt) rest.pop();
    const now = given.now === null ? new Date() : new Date(given.now);
    const get = (part) => now[(gmt ? "getUTC" : "get") + part]();
    return { rest, get };
  }

  // Comparable lists, the weightiest part first.
  function compare(one, other) {
    for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return one[i] < other[i] ? -1 : 1;
    return 0;
  }

  // A range whose end lies before its beginning goes over the turn of the day, week or year.
  function within(from, now, to) {
    const begun = compare(from, now) <= 0, notOver = compare(now, to) <= 0;
    return compare(from, to) <= 0 ? begun && notOver : begun || notOver;
  }

  function datePart(value) {
    if (typeof value === "string" && MONTHS.indexOf(value) >= 0) return ["month", MONTHS.indexOf(value)];
    const number = Number(value);
    if (!Number.isInteger(number) || number < 1) return [null, 0];
    return number <= 31 ? ["day", number] : ["year", number];
  }

  const functions = {
    isPlainHostName: (host) => String(host).indexOf(".") < 0 && String(host).indexOf(":") < 0,
    dnsDomainIs: (host, domain) => String(host).endsWith(String(domain)),
    localHostOrDomainIs: (host, name) =>
      String(host) === String(name) || String(name).startsWith(String(host) + "."),
    dnsDomainLevels: (host) => String(host).split(".").length - 1,
    shExpMatch: (text, pattern) => glob(String(text), String(pattern)),
    dnsResolve: (host) => {
      const found = lookUp(host).find((address) => addressNumber(address) !== null);
      return found === undefined ? null : found;
    },
    isResolvable: (host) => functions.dnsResolve(host) !== null,
    isInNet: (host, network, mask) => {
      const [n, m] = [addressNumber(String(network)), addressNumber(String(mask))];
      if (n === null || m === null) return false;
      const address = functions.dnsResolve(host);
      return address !== null && (addressNumber(address) & m) === (n & m);
    },
    convert_addr: (address) => (addressNumber(String(address)) || 0) | 0,
    myIpAddress: () => given.own.find((address) => addressNumber(address) !== null) || "127.0.0.1",
    dnsResolveEx: (host) => lookUp(host).join(";"),
    isResolvableEx: (host) => lookUp(host).length > 0,
    isInNetEx: (host, prefix) => lookUp(host).some((address) => inPrefix(address, prefix)),
    myIpAddressEx: () => given.own.join(";"),
    sortIpAddressList: (list) => {
      const all = String(list).split(";").map((address) => address.trim());
      if (!all.every((address) => addressNumber(address) !== null || isAddress6(address))) return false;
      const key = (address) => {
        const six = address6(address);
        return six === null ? [1, addressNumber(address)] : [0, ...six];
      };
      return all.sort((a, b) => compare(key(a), key(b))).join(";");
    },
    getClientVersion: () => "1.0",
    weekdayRange: function () {
      const { rest, get } = timed(arguments);
      const days = rest.map((day) => DAYS.indexOf(day));
      if (days.length < 1 || days.length > 2 || days.indexOf(-1) >= 0) return false;
      return within([days[0]], [get("Day")], [days[days.length - 1]]);
    },
    dateRange: function () {
      const { rest, get } = timed(arguments);
      const parts = rest.map(datePart);
      const kinds = parts.map((part) => part[0]);
      if (parts.length < 1 || parts.length > 6 || kinds.indexOf(null) >= 0) return false;
      const half = kinds.length / 2;
      const isRange = Number.isInteger(half) && kinds.slice(0, half).join() === kinds.slice(half).join();
      const used = isRange ? kinds.slice(0, half) : kinds;
      if (new Set(used).size !== used.length) return false;
      const order = ["year", "month", "day"].filter((kind) => used.indexOf(kind) >= 0);
      const list = (some) => order.map((kind) => some.find((part) => part[0] === kind)[1]);
      const now = { year: get("FullYear"), month: get("Month"), day: get("Date") };
      const from = list(isRange ? parts.slice(0, half) : parts);
      return within(from, order.map((kind) => now[kind]), isRange ? list(parts.slice(half)) : from);
    },
    timeRange: function () {
      const { rest, get } = timed(arguments);
      const numbers = rest.map(Number);
      if ([1, 2, 4, 6].indexOf(numbers.length) < 0 || !numbers.every(Number.isInteger)) return false;
      const half = Math.max(1, numbers.length / 2);
      const now = [get("Hours"), get("Minutes"), get("Seconds")].slice(0, half);
      return within(numbers.slice(0, half), now, numbers.slice(-half));
    },
    alert: () => undefined,
  };
  for (const name of Object.keys(functions)) globalThis[name] = functions[name];
  return () => (wanted.length > 0 ? wanted[0] : null);
})
