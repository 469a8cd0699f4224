// Values that go into and come out of SQL. Bound values borrow their text and bytes until the statement has run; rows own theirs.
#pragma once
#include <cassert>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ballast::store {

enum class Kind : unsigned char { null, integer, real, text, bytes };

// An argument of a statement. Text must be UTF-8 without NUL (PostgreSQL refuses it); anything else goes as `Value::bytes`.
class Value {
 public:
  Value() = default;
  Value(std::nullptr_t) {}
  Value(bool v) : kind_(Kind::integer), integer_(v) {}
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Value(T v) : kind_(Kind::integer), integer_(static_cast<std::int64_t>(v)) {}
  Value(double v) : kind_(Kind::real), real_(v) {}
  Value(std::string_view v) : kind_(Kind::text), text_(v) {}
  Value(const std::string& v) : kind_(Kind::text), text_(v) {}
  Value(const char* v) : kind_(Kind::text), text_(v) {}
  template <class T>
  Value(const std::optional<T>& v) { if (v) *this = Value(*v); }
  static Value bytes(std::string_view v) { Value r(v); r.kind_ = Kind::bytes; return r; }

  Kind kind() const { return kind_; }
  std::int64_t integer() const { return integer_; }
  double real() const { return real_; }
  std::string_view text() const { return text_; }

 private:
  Kind kind_ = Kind::null;
  union {
    std::int64_t integer_ = 0;
    double real_;
  };
  std::string_view text_;
};

// The arguments of one run, in order of `$n`. Borrowed.
class Args {
 public:
  Args() = default;
  Args(std::initializer_list<Value> v) : data_(v.begin()), size_(v.size()) {}
  Args(std::span<const Value> v) : data_(v.data()), size_(v.size()) {}
  Args(const std::vector<Value>& v) : data_(v.data()), size_(v.size()) {}
  std::size_t size() const { return size_; }
  const Value& operator[](std::size_t i) const { return data_[i]; }
  const Value* begin() const { return data_; }
  const Value* end() const { return data_ + size_; }

 private:
  const Value* data_ = nullptr;
  std::size_t size_ = 0;
};

// Rows of arguments of equal width, for `Tx::run_many` and its like.
class Batch {
 public:
  explicit Batch(std::size_t width) : width_(width) { assert(width > 0); }
  void add(std::initializer_list<Value> row) { assert(row.size() == width_); cells_.insert(cells_.end(), row); }
  std::size_t size() const { return cells_.size() / width_; }
  std::size_t width() const { return width_; }
  std::span<const Value> row(std::size_t i) const { return {cells_.data() + i * width_, width_}; }
  void reserve(std::size_t rows) { cells_.reserve(rows * width_); }
  void clear() { cells_.clear(); }

 private:
  std::size_t width_;
  std::vector<Value> cells_;
};

class Rows;

// One row of a result. Borrowed from Rows. Reading a NULL gives zero or empty; ask `null` where it matters.
class Row {
 public:
  Row(const Rows& rows, std::size_t at) : rows_(&rows), at_(at) {}
  bool null(std::size_t column) const;
  Kind kind(std::size_t column) const;
  std::int64_t integer(std::size_t column) const;
  bool boolean(std::size_t column) const { return integer(column) != 0; }
  double real(std::size_t column) const;
  std::string_view text(std::size_t column) const;      // of a text or bytes column
  std::string string(std::size_t column) const { return std::string(text(column)); }
  std::string_view bytes(std::size_t column) const { return text(column); }
  std::optional<std::int64_t> maybe_integer(std::size_t column) const {
    return null(column) ? std::nullopt : std::optional(integer(column));
  }

 private:
  const Rows* rows_;
  std::size_t at_;
};

// The result of a statement. Owns everything it shows.
class Rows {
 public:
  Rows() = default;
  std::size_t size() const { return columns_ ? cells_.size() / columns_ : 0; }
  bool empty() const { return size() == 0; }
  std::size_t columns() const { return columns_; }
  Row operator[](std::size_t i) const { assert(i < size()); return Row(*this, i * columns_); }
  std::int64_t affected() const { return affected_; }   // rows inserted, updated or deleted

  struct Iterator {
    const Rows* rows;
    std::size_t i;
    Row operator*() const { return (*rows)[i]; }
    Iterator& operator++() { ++i; return *this; }
    bool operator==(const Iterator& o) const { return i == o.i; }
  };
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, size()}; }

  // For the drivers.
  void start(std::size_t columns) { columns_ = columns; }
  void set_affected(std::int64_t n) { affected_ = n; }
  void add_null() { cells_.push_back({}); }
  void add_integer(std::int64_t v) { Cell c; c.kind = Kind::integer; c.integer = v; cells_.push_back(c); }
  void add_real(double v) { Cell c; c.kind = Kind::real; c.real = v; cells_.push_back(c); }
  void add_text(std::string_view v, Kind kind) {
    Cell c;
    c.kind = kind;
    c.span = {static_cast<std::uint32_t>(arena_.size()), static_cast<std::uint32_t>(v.size())};
    arena_ += v;
    cells_.push_back(c);
  }
  std::size_t cell_count() const { return cells_.size(); }
  std::size_t arena_bytes() const { return arena_.size(); }

 private:
  friend class Row;
  struct Span { std::uint32_t at, size; };
  struct Cell {
    Kind kind = Kind::null;
    union {
      std::int64_t integer = 0;
      double real;
      Span span;
    };
  };
  std::size_t columns_ = 0;
  std::int64_t affected_ = 0;
  std::vector<Cell> cells_;
  std::string arena_;
};

inline bool Row::null(std::size_t c) const { return rows_->cells_[at_ + c].kind == Kind::null; }
inline Kind Row::kind(std::size_t c) const { return rows_->cells_[at_ + c].kind; }
inline std::int64_t Row::integer(std::size_t c) const {
  const auto& cell = rows_->cells_[at_ + c];
  if (cell.kind == Kind::real) return static_cast<std::int64_t>(cell.real);
  assert(cell.kind == Kind::integer || cell.kind == Kind::null);
  return cell.kind == Kind::integer ? cell.integer : 0;
}
inline double Row::real(std::size_t c) const {
  const auto& cell = rows_->cells_[at_ + c];
  if (cell.kind == Kind::integer) return static_cast<double>(cell.integer);
  return cell.kind == Kind::real ? cell.real : 0;
}
inline std::string_view Row::text(std::size_t c) const {
  const auto& cell = rows_->cells_[at_ + c];
  if (cell.kind != Kind::text && cell.kind != Kind::bytes) return {};
  return std::string_view(rows_->arena_).substr(cell.span.at, cell.span.size);
}

}  // namespace ballast::store
