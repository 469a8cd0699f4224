// Intents by chance: mostly well formed, so that much of it is built; here and there a hostile word where a name, an operator or a value belongs.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "base/random.hpp"
#include "query/reader.hpp"

namespace ballast::test {

class RandomIntents {
 public:
  RandomIntents(const query::Dataset& dataset, std::uint64_t seed, double hostility, const std::vector<std::string>& hostile)
      : dataset_(dataset), random_(seed), hostility_(hostility), hostile_(hostile), names_(dataset.names()) {
    for (const auto& t : dataset.tables)
      for (const auto& c : t.columns)
        if (c.hidden) names_.push_back(t.name + "." + c.name);       // which must be refused
  }

  json::object intent(int depth = 0) {
    json::object out;
    used_ = 0;
    if (depth < 2 && random_.chance(0.15)) {
      out["from"] = intent(depth + 1);
      inner_ = true;
    } else {
      table_ = any(dataset_.tables).name;
      out["from"] = word(table_);
      inner_ = false;
    }
    const bool grouped = random_.chance(0.6);
    out["dimensions"] = list(grouped ? 0 : 1, 3, [&] { return expression(1, false); });
    if (grouped) out["measures"] = list(1, 3, [&] { return measure(1); });
    if (random_.chance(0.6)) out["where"] = condition(0, depth);
    if (grouped && random_.chance(0.2)) out["having"] = json::object{{"field", measure(2)}, {"op", word(">")}, {"value", value(query::Type::integer)}};
    if (random_.chance(0.3)) out["order"] = json::array{json::object{{"by", grouped ? measure(2) : expression(2, false)}, {"desc", random_.chance(0.5)}}};
    if (random_.chance(0.3)) out["limit"] = random_.chance(0.1) ? json::value(word("5")) : json::value(static_cast<std::int64_t>(1 + random_.below(3'000'000)));
    if (random_.chance(0.2)) out["distinct"] = true;
    if (random_.chance(0.1)) out["optional"] = json::array{word(any(dataset_.nodes).name)};
    if (random_.chance(0.05)) out[word("through")] = json::array{word(any(dataset_.nodes).name)};
    return out;
  }

 private:
  template <class T>
  const T& any(const std::vector<T>& of) { return of[random_.below(of.size())]; }
  // `right`, or now and then something else.
  std::string word(std::string right) { return !hostile_.empty() && random_.chance(hostility_) ? any(hostile_) : right; }
  template <class Make>
  json::array list(std::size_t least, std::size_t most, Make make) {
    json::array out;
    for (std::size_t n = least + random_.below(most - least + 1); n > 0; --n) out.push_back(make());
    return out;
  }

  // A column of the table it begins from, most of the time.
  std::string column() {
    if (inner_) return word("o" + std::to_string(random_.below(3)));
    for (int i = 0; i < 50; ++i) {
      const auto& name = any(names_);
      if (name.starts_with(table_ + ".") || random_.chance(0.03)) return word(name);
    }
    return word(any(names_));
  }
  json::value literal() { return random_.chance(0.5) ? json::value(static_cast<std::int64_t>(1'000'000 + random_.below(1'000'000))) : json::value(random_.uniform() * 1e6 + 0.123456); }
  json::value value(query::Type type) {
    switch (type) {
      case query::Type::integer:
      case query::Type::number: return literal();
      case query::Type::boolean: return random_.chance(0.5);
      case query::Type::text: return hostile_.empty() ? std::string("zzqqzz").c_str() : any(hostile_).c_str();
      default: return random_.chance(0.8) ? "2019-03-07" : "2019-03-07T11:12:13";
    }
  }
  query::Type type_of(const std::string& name) const {
    const auto* c = dataset_.find(name, true).second;
    return c ? c->type : query::Type::integer;
  }

  json::value named(json::object e) {
    if (random_.chance(0.4)) e["as"] = word("o" + std::to_string(used_++ % 4));
    return e;
  }
  json::value expression(int depth, bool number) {
    if (depth > 3 || random_.chance(0.5)) return column().c_str();
    const std::string c = column();
    switch (random_.below(number ? 5 : 10)) {
      case 0: return named({{word("add"), json::array{expression(depth + 1, true), literal()}}});
      case 1: return named({{"divide", json::array{expression(depth + 1, true), expression(depth + 1, true)}}});
      case 2: return named({{"round", expression(depth + 1, true)}, {"digits", static_cast<std::int64_t>(random_.below(12))}});
      case 3: return named({{"abs", expression(depth + 1, true)}});
      case 4: return named({{"coalesce", json::array{c, c}}});
      case 5: return named({{"part", word(std::string(query::kParts[random_.below(std::size(query::kParts))]))}, {"of", c}});
      case 6: return named({{"truncate", word(std::string(query::kUnits[random_.below(6)]))}, {"of", c}});
      case 7: return named({{"shift", c}, {"by", static_cast<std::int64_t>(random_.below(2'000'000)) - 1'000'000}, {"unit", word("day")}});
      case 8: return named({{"row_number", json::array{json::object{{"by", c}}}}, {"within", json::array{column()}}});
      default: return named({{"lower", c}});
    }
  }
  json::value measure(int depth) {
    if (depth < 3 && random_.chance(0.15)) return named({{"divide", json::array{measure(depth + 1), measure(depth + 1)}}});
    if (random_.chance(0.25)) return named({{"count", "*"}});
    json::object e{{word(std::string(query::kAggregateNames[random_.below(6)])), random_.chance(0.7) ? json::value(column()) : expression(2, true)}};
    if (random_.chance(0.2)) e["where"] = condition(2, 2);
    if (random_.chance(0.1)) e["per"] = word(table_);
    return named(std::move(e));
  }
  json::value condition(int depth, int intents) {
    if (depth < 2 && random_.chance(0.3)) return json::object{{word(random_.chance(0.5) ? "and" : "or"), list(1, 3, [&] { return condition(depth + 1, intents); })}};
    if (random_.chance(0.1)) return json::object{{"not", condition(depth + 1, intents)}};
    if (!inner_ && random_.chance(0.1)) return json::object{{"exists", word(any(dataset_.tables).name)}};
    const std::string c = column();
    const query::Type type = type_of(c);
    if (intents < 1 && random_.chance(0.08)) {
      const auto keep = std::pair(table_, inner_);
      json::object out{{"field", c}, {"op", "in"}, {"intent", intent(2)}};
      std::tie(table_, inner_) = keep;
      return out;
    }
    const auto op = query::kOperators[random_.below(std::size(query::kOperators))];
    json::object out{{"field", c}, {"op", word(std::string(op))}};
    if (op == "in" || op == "not_in") out["value"] = json::array{value(type), value(type)};
    else if (op == "between") out["value"] = json::array{value(type), value(type)};
    else if (op == "within") out["value"] = json::object{{"last", 3}, {"unit", word("month")}, {"whole", random_.chance(0.5)}};
    else if (op != "is_null" && op != "not_null") out[random_.chance(0.95) ? "value" : "other"] = value(type);
    return out;
  }

  const query::Dataset& dataset_;
  SeededRandom random_;
  const double hostility_;
  const std::vector<std::string>& hostile_;
  std::vector<std::string> names_;
  std::string table_;
  bool inner_ = false;
  std::size_t used_ = 0;
};

}  // namespace ballast::test
