// Rows as two databases must agree on them: the same bytes for the same row, whichever it was read from; sums that know no order; keys that are
// compared as both databases compare them. Pure.
#pragma once
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/values.hpp"

namespace ballast::store {

struct TransferColumn {
  std::string name;
  Kind kind = Kind::null;                    // of its values, unless they are NULL
  friend bool operator==(const TransferColumn&, const TransferColumn&) = default;
};
struct TransferTable {
  std::string name;
  std::vector<TransferColumn> columns;
  std::vector<std::size_t> key;              // of the columns, in the primary key's order; empty: it has none
  bool sortable() const;                     // by a key of integers, texts and bytes, which both databases sort alike
};

// Of a catalogue's rows (table, column, its type's name, its place in the primary key from 1 or 0), each table's columns together and in their order.
std::vector<TransferTable> tables_in(const Rows& rows, Kind (*kind_of)(std::string_view type));

struct KeyCell {
  Kind kind = Kind::integer;
  std::int64_t integer = 0;
  std::string text;
  Value value() const { return kind == Kind::integer ? Value(integer) : kind == Kind::text ? Value(text) : Value::bytes(text); }
  friend auto operator<=>(const KeyCell&, const KeyCell&) = default;
};
using Key = std::vector<KeyCell>;            // compared cell by cell: integers by value, text and bytes by their bytes

Key key_of(const TransferTable& table, const Row& row);
std::string packed(const Key& key);
std::optional<Key> unpacked(std::string_view bytes);
// "job=12, path=a/b", for messages; bytes as hex, long values cut.
std::string shown(const TransferTable& table, const Key& key);

// Appends the row's canonical form, its columns in the table's order: of each its kind, then 8 bytes of an integer or of a real (-0 is 0), or the
// length and bytes.
void encode_row(std::string& out, const Row& row, std::size_t columns);

// What a set of rows adds up to, in any order: their number, their canonical bytes, and the sum of their SHA-256's first 128 bits modulo 2^128.
struct RowSum {
  std::uint64_t rows = 0, bytes = 0, high = 0, low = 0;
  void add(std::string_view encoded);
  void add(const RowSum& other);
  std::string hex() const;                   // 32 digits, of the sum alone
  friend bool operator==(const RowSum&, const RowSum&) = default;
};

// ---- SQL, the same on both ----

std::string in_quotes(std::string_view name);
// "", or " WHERE (a, b) > ($n, …) AND (a, b) <= (…)"; parameters count from 1, first those of `above`.
std::string where_between(const TransferTable& table, bool above, bool upto);
std::vector<Value> bounds(const Key* above, const Key* upto);
std::string column_list(const TransferTable& table);
std::string key_list(const TransferTable& table);

}  // namespace ballast::store
