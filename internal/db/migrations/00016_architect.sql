-- +goose Up

-- Architect is described as what it is. A description that an operator wrote stays.
update clients
set settings = replace(settings,
  '{"en":"Plans and models of your organization","fr":"Plans et modèles de votre organisation"}',
  '{"en":"Call flows and prompts","fr":"Flux d’appels et annonces"}')
where id = 'architect';
