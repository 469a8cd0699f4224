#include "store/transfer_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/hash.hpp"

namespace ballast::store {

namespace {

constexpr std::size_t kShown = 60;

std::uint64_t big_endian(std::uint64_t v) { return std::endian::native == std::endian::little ? std::byteswap(v) : v; }

void put(std::string& out, std::uint64_t v) {
  v = big_endian(v);
  out.append(reinterpret_cast<const char*>(&v), sizeof v);
}

std::uint64_t load(const void* from) {
  std::uint64_t v;
  std::memcpy(&v, from, sizeof v);
  return big_endian(v);
}

std::optional<std::uint64_t> take(std::string_view& from) {
  if (from.size() < sizeof(std::uint64_t)) return std::nullopt;
  const std::uint64_t v = load(from.data());
  from.remove_prefix(sizeof v);
  return v;
}

}  // namespace

bool TransferTable::sortable() const {
  const auto sorts = [&](std::size_t c) { return columns[c].kind == Kind::integer || columns[c].kind == Kind::text || columns[c].kind == Kind::bytes; };
  return !key.empty() && std::ranges::all_of(key, sorts);
}

std::vector<TransferTable> tables_in(const Rows& rows, Kind (*kind_of)(std::string_view type)) {
  std::vector<TransferTable> out;
  for (const Row r : rows) {
    if (out.empty() || out.back().name != r.text(0)) out.push_back({.name = r.string(0), .columns = {}, .key = {}});
    TransferTable& table = out.back();
    const auto place = static_cast<std::size_t>(r.integer(3));
    if (place > table.key.size()) table.key.resize(place);
    if (place) table.key[place - 1] = table.columns.size();
    table.columns.push_back({r.string(1), kind_of(r.text(2))});
  }
  return out;
}

Key key_of(const TransferTable& table, const Row& row) {
  Key out;
  out.reserve(table.key.size());
  for (const std::size_t c : table.key) {
    const Kind kind = row.kind(c);
    if (kind == Kind::integer) out.push_back({kind, row.integer(c), {}});
    else out.push_back({kind, 0, row.string(c)});
  }
  return out;
}

std::string packed(const Key& key) {
  std::string out;
  for (const KeyCell& cell : key) {
    out += static_cast<char>(cell.kind);
    put(out, cell.kind == Kind::integer ? static_cast<std::uint64_t>(cell.integer) : cell.text.size());
    out += cell.text;
  }
  return out;
}

std::optional<Key> unpacked(std::string_view bytes) {
  Key out;
  while (!bytes.empty()) {
    const auto kind = static_cast<Kind>(bytes.front());
    bytes.remove_prefix(1);
    const auto n = take(bytes);
    if (!n || (kind != Kind::integer && kind != Kind::text && kind != Kind::bytes)) return std::nullopt;
    if (kind == Kind::integer) {
      out.push_back({kind, static_cast<std::int64_t>(*n), {}});
      continue;
    }
    if (*n > bytes.size()) return std::nullopt;
    out.push_back({kind, 0, std::string(bytes.substr(0, *n))});
    bytes.remove_prefix(*n);
  }
  return out;
}

std::string shown(const TransferTable& table, const Key& key) {
  std::string out;
  for (std::size_t i = 0; i < key.size() && i < table.key.size(); ++i) {
    const KeyCell& cell = key[i];
    std::string value = cell.kind == Kind::integer ? std::to_string(cell.integer) : cell.kind == Kind::bytes ? to_hex(cell.text) : cell.text;
    if (value.size() > kShown) value = value.substr(0, kShown) + "…";
    out += fmt::format("{}{}={}", i ? ", " : "", table.columns[table.key[i]].name, value);
  }
  return out;
}

void encode_row(std::string& out, const Row& row, std::size_t columns) {
  for (std::size_t c = 0; c < columns; ++c) {
    const Kind kind = row.kind(c);
    out += static_cast<char>(kind);
    switch (kind) {
      case Kind::null: break;
      case Kind::integer: put(out, static_cast<std::uint64_t>(row.integer(c))); break;
      case Kind::real: put(out, std::bit_cast<std::uint64_t>(row.real(c) + 0.0)); break;   // -0 + 0 is 0
      case Kind::text:
      case Kind::bytes:
        put(out, row.text(c).size());
        out += row.text(c);
    }
  }
}

void RowSum::add(std::string_view encoded) {
  const Digest digest = sha256(encoded);
  add({.rows = 1, .bytes = encoded.size(), .high = load(digest.data()), .low = load(digest.data() + 8)});
}

void RowSum::add(const RowSum& other) {
  rows += other.rows;
  bytes += other.bytes;
  low += other.low;
  high += other.high + (low < other.low);
}

std::string RowSum::hex() const { return fmt::format("{:016x}{:016x}", high, low); }

std::string in_quotes(std::string_view name) { return fmt::format("\"{}\"", name); }

std::string column_list(const TransferTable& table) {
  std::string out;
  for (const auto& column : table.columns) out += (out.empty() ? "" : ", ") + in_quotes(column.name);
  return out;
}

std::string key_list(const TransferTable& table) {
  std::string out;
  for (const std::size_t c : table.key) out += (out.empty() ? "" : ", ") + in_quotes(table.columns[c].name);
  return out;
}

std::string where_between(const TransferTable& table, bool above, bool upto) {
  std::size_t next = 1;
  const auto side = [&](const char* compared) {
    std::string parameters;
    for (std::size_t i = 0; i < table.key.size(); ++i) parameters += fmt::format("{}${}", i ? ", " : "", next++);
    return fmt::format("({}) {} ({})", key_list(table), compared, parameters);
  };
  std::string out;
  if (above) out += " WHERE " + side(">");
  if (upto) out += (above ? " AND " : " WHERE ") + side("<=");
  return out;
}

std::vector<Value> bounds(const Key* above, const Key* upto) {
  std::vector<Value> out;
  for (const Key* key : {above, upto})
    if (key)
      for (const KeyCell& cell : *key) out.push_back(cell.value());
  return out;
}

}  // namespace ballast::store
