// A small shop for tests of questions: two tenants, masked and hidden columns, roles, a derived value; in SQLite or PostgreSQL.
#pragma once
#include <gtest/gtest.h>

#include "postgres.hpp"
#include "query/intent.hpp"
#include "query/run.hpp"
#include "temp_dir.hpp"

namespace ballast::test {

inline constexpr const char* kShop = R"(
description: A shop.
database: ${SHOP}
mask_key: a key for tests
limits: {rows: 5, in_values: 4, filters: 6, joins: 4, text_bytes: 40}
tables:
  customers:
    description: Who buys.
    columns:
      id: {type: integer}
      name: {type: text, mask: partial}
      email: {type: text, mask: hash}
      card: {type: text, mask: hide}
      city: {type: text, description: where they live, synonyms: [town], values: {PAR: Paris, ROM: Rome}}
      secret_note: {type: text, hidden: true}
      score: {type: integer, aggregates: [min, max]}
  orders:
    source: order
    columns:
      id: {type: integer}
      customer: {type: integer, source: customer_id}
      helper: {type: integer, source: helper_id}
      day: {type: date}
      placed: {type: timestamp}
      seen: {type: epoch}
      paid: {type: boolean}
      total: {type: number}
      memo: {type: text, groupable: false}
      team: {type: text, hidden: true}
    rows: {column: team, equals: principal.team}
  lines:
    columns:
      order: {type: integer, source: order_id}
      product: {type: integer, source: product_id}
      quantity: {type: integer}
      price: {type: number}
    rows: {of: orders}
  products:
    columns:
      id: {type: integer}
      name: {type: text}
      cost: {type: number, hidden: true}
  visits:
    columns:
      customer: {type: integer, source: customer_id}
      day: {type: date}
joins:
  - orders.customer = customers.id
  - {on: orders.helper = customers.id, as: helped_by}
  - lines.order = orders.id
  - lines.product = products.id
  - visits.customer = customers.id
derived:
  margin: {description: what is earned, is: {sum: {multiply: [lines.quantity, {subtract: [lines.price, products.cost]}]}}}
)";

inline constexpr const char* kShopTables[] = {
    R"(CREATE TABLE customers (id BIGINT, name TEXT, email TEXT, card TEXT, city TEXT, secret_note TEXT, score BIGINT))",
    R"(CREATE TABLE "order" (id BIGINT, customer_id BIGINT, helper_id BIGINT, day DATE, placed TIMESTAMP, seen BIGINT, paid BOOLEAN, total NUMERIC(10,2), memo TEXT, team TEXT))",
    R"(CREATE TABLE lines (order_id BIGINT, product_id BIGINT, quantity BIGINT, price NUMERIC(10,2)))",
    R"(CREATE TABLE products (id BIGINT, name TEXT, cost NUMERIC(10,2)))",
    R"(CREATE TABLE visits (customer_id BIGINT, day DATE))",
    R"(CREATE TABLE wages (name TEXT, amount BIGINT))",
    R"(INSERT INTO customers VALUES (1,'Ada','ada@a.example','4111','PAR','rich',7), (2,'Bob','bob@b.example','4222','ROM','poor',3), (3,'Émile',NULL,'4333','PAR',NULL,5))",
    R"(INSERT INTO "order" VALUES (10,1,2,'2026-01-05','2026-01-05 09:30:00',1767605400,TRUE,30.5,'a','red'), (11,1,NULL,'2026-01-20','2026-01-20 23:00:00',1768950000,FALSE,10,'b','red'),
       (12,2,1,'2026-02-03','2026-02-03 12:00:00',1770120000,TRUE,99.25,'c','blue'), (13,3,1,'2026-02-14','2026-02-14 08:00:00',1771056000,TRUE,5,'d','red'))",
    R"(INSERT INTO lines VALUES (10,1,2,10), (10,2,1,10.5), (11,1,1,10), (12,2,9,11), (13,1,1,5))",
    R"(INSERT INTO products VALUES (1,'pen',4), (2,'book',8), (3,'lamp',20))",
    R"(INSERT INTO visits VALUES (1,'2026-01-01'), (1,'2026-01-02'), (2,'2026-01-02'))",
    R"(INSERT INTO wages VALUES ('Ada', 100000))",
};

inline Result<query::Dataset> dataset_from(std::string_view yaml, std::string database = "sqlite:shop.db") {
  auto root = parse_config(yaml, "shop.yaml", fixed_environment({{"SHOP", std::move(database)}}));
  if (!root) return std::unexpected(root.error());
  auto dataset = query::read_dataset("shop", *root);
  if (auto ok = root->check(); !ok) return std::unexpected(ok.error());
  return dataset;
}

inline const query::Dataset& shop() {
  static const query::Dataset dataset = dataset_from(kShop).value();
  return dataset;
}

inline json::value doc(std::string_view text) { return parse_json(text).value(); }

inline query::Principal of_team(json::value team) {
  query::Principal p;
  p.attributes["team"] = std::move(team);
  return p;
}
inline const query::Principal& red() {
  static const query::Principal p = of_team("red");
  return p;
}
inline const WallTime kShopNow = *parse_time("2026-02-20T15:00:00Z");

inline Result<query::Statement> build(std::string_view intent, store::Dialect dialect = store::Dialect::sqlite, const query::Principal& who = red()) {
  auto read = query::read_intent(doc(intent), shop());
  if (!read) return std::unexpected(read.error());
  return query::build(*read, shop(), who, dialect, kShopNow);
}

}  // namespace ballast::test
