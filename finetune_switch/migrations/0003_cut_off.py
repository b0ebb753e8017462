from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('finetune_switch', '0002_text'),
    ]

    operations = [
        migrations.AlterField(
            model_name='exchange',
            name='outcome',
            field=models.CharField(choices=[('open', 'Answering'), ('complete', 'Answered'), ('no_answer', "Don't know"), ('cut_off', 'Cut off'), ('failed', 'Failed'), ('cancelled', 'Stopped by the reader'), ('interrupted', 'Interrupted')], db_index=True, default='open', max_length=20),
        ),
    ]
